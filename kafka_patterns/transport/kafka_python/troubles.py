"""Partitions that cannot be read now, each with a backoff of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

import attrs

from kafka_patterns.backoff import Backoff
from kafka_patterns.message import TopicPartition
from kafka_patterns.stalled import StalledPartition

__all__ = ["Troubles"]

logger = logging.getLogger("kafka_patterns.transport")


@attrs.frozen
class _Trouble:
    stalled: StalledPartition
    times: int
    retry_at: float


class Troubles:
    """Why which partitions cannot be read, since when, and when each is asked for again.

    The reader's thread changes it; any thread may read.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._troubles: dict[TopicPartition, _Trouble] = {}  # single operations on it are atomic

    def note(
        self,
        partition: TopicPartition,
        offset: int,
        reason: str,
        backoff: Backoff,
        *,
        is_forbidden: bool = False,
    ) -> None:
        """It could not be read at *offset*, and is asked for again after *backoff*."""
        before = self._troubles.get(partition)
        times, since = 1, time.time()
        if before is not None:
            since = before.stalled.since
            if (before.stalled.offset, before.stalled.reason) == (offset, reason):
                times = before.times + 1
        if times == 1:
            logger.warning(
                "%s cannot be read from offset %d on, trying again while the others go on: %s",
                partition,
                offset,
                reason,
            )
        stalled = StalledPartition(*partition, offset, since, reason, is_forbidden)
        self._troubles[partition] = _Trouble(stalled, times, self._clock() + backoff(times))

    def retry_now(self, partition: TopicPartition) -> None:
        """It need not wait any longer."""
        trouble = self._troubles.get(partition)
        if trouble is not None:
            self._troubles[partition] = attrs.evolve(trouble, retry_at=self._clock())

    def over(self, partition: TopicPartition) -> None:
        """It can be read."""
        if self._troubles and self._troubles.pop(partition, None) is not None:
            logger.info("%s is read again", partition)

    def forget(self, partition: TopicPartition) -> None:
        """It is not read any more, or from elsewhere."""
        self._troubles.pop(partition, None)

    def waiting(self) -> Collection[TopicPartition]:
        """Those that are not asked for yet."""
        now = self._clock()
        return [tp for tp, trouble in self._troubles.items() if now < trouble.retry_at]

    def seconds_until_retry(self) -> float:
        """Until the first of those is asked for again; infinite if there is none."""
        now = self._clock()
        times = [t.retry_at - now for t in self._troubles.values() if now < t.retry_at]
        return min(times, default=float("inf"))

    def stalled(self) -> Collection[StalledPartition]:
        """All of them, from any thread."""
        if not self._troubles:
            return ()  # each request asks
        return tuple(trouble.stalled for trouble in list(self._troubles.values()))
