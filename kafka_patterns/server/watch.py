"""An eye on running handlers: which one is the oldest, and which runs for too long."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.server.work import WorkItem
from kafka_patterns.stalled import StalledPartition

__all__ = ["RunningHandler", "Watch"]

logger = logging.getLogger("kafka_patterns.watch")


@attrs.frozen
class RunningHandler:
    """A message that a handler works on, or deferred and nobody has acknowledged yet.

    :param seconds: for how long.
    """

    topic: str
    partition: int
    offset: int
    seconds: float


class _Failure(NamedTuple):
    error: BaseException
    since: float  # seconds since 1970


class _Run(NamedTuple):
    started: float
    thread_id: int | None  # None if the handler deferred the message and returned


class Watch:
    """Knows what runs, in which thread, since when; and what is tried again, and why.

    :param warn_after: seconds after which a handler's stack is logged, once.
    """

    def __init__(self, warn_after: float) -> None:
        self._warn_after = warn_after
        self._runs: dict[WorkItem, _Run] = {}  # single operations on it are atomic
        self._failed: dict[WorkItem, _Failure] = {}  # and on it
        self._warned: set[WorkItem] = set()  # the looking thread's alone

    def begin(self, item: WorkItem) -> None:
        """In the worker: a handler is about to run."""
        self._runs[item] = _Run(time.monotonic(), threading.get_ident())

    def leave(self, item: WorkItem) -> None:
        """It returned, and others finish the message later."""
        self._runs[item] = self._runs[item]._replace(thread_id=None)

    def end(self, item: WorkItem) -> None:
        """It ran, and nobody finishes the message later."""
        self._runs.pop(item, None)

    def fail(self, item: WorkItem, error: BaseException) -> None:
        """It failed, and is tried again."""
        before = self._failed.get(item)
        self._failed[item] = _Failure(error, time.time() if before is None else before.since)

    def succeed(self, item: WorkItem) -> None:
        """It is not tried again."""
        if self._failed:
            self._failed.pop(item, None)

    def last_failure(self) -> BaseException | None:
        """Why the message is tried again that was the last to fail for the first time."""
        failed = self._failed_now()
        return failed[-1][1].error if failed else None

    def _failed_now(self) -> list[tuple[WorkItem, _Failure]]:
        return [entry for entry in list(self._failed.items()) if not entry[0].assigned.lost]

    def stalled(self) -> Iterator[StalledPartition]:
        """Of each partition the first message that is tried again."""
        first: dict[TopicPartition, tuple[WorkItem, _Failure]] = {}
        for item, failure in self._failed_now():
            other = first.get(item.assigned.partition)
            if other is None or item.record.offset < other[0].record.offset:
                first[item.assigned.partition] = (item, failure)
        for partition, (item, failure) in first.items():
            reason = f"{type(failure.error).__name__}: {failure.error}"
            yield StalledPartition(*partition, item.record.offset, failure.since, reason)

    def oldest(self) -> RunningHandler | None:
        """The handler that has run longest."""
        runs = list(self._runs.items())
        if not runs:
            return None
        item, oldest = min(runs, key=lambda entry: entry[1].started)
        record = item.record
        seconds = time.monotonic() - oldest.started
        return RunningHandler(record.topic, record.partition, record.offset, seconds)

    def warn(self) -> None:
        """Log the stack of each handler that runs for too long and was not named before."""
        self._forget_lost()
        before = time.monotonic() - self._warn_after
        slow = {item: run for item, run in list(self._runs.items()) if run.started < before}
        self._warned &= slow.keys()
        for item in slow.keys() - self._warned:
            self._warned.add(item)
            self._log(item.record, slow[item].thread_id)

    def _forget_lost(self) -> None:
        for item in list(self._failed):
            if item.assigned.lost:
                self._failed.pop(item, None)

    def _log(self, record: Record, thread_id: int | None) -> None:
        if thread_id is None:
            logger.warning(
                "%s[%d] offset %d was deferred and is not acknowledged after %g s",
                *record[:3],
                self._warn_after,
            )
            return
        frame = sys._current_frames().get(thread_id)  # noqa: SLF001  meant for this
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown"
        logger.warning(
            "a handler for %s[%d] offset %d runs for more than %g s; it is here:\n%s",
            record.topic,
            record.partition,
            record.offset,
            self._warn_after,
            stack,
        )
