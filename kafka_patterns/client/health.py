"""How a client fares, as one value."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import attrs

from kafka_patterns.client.connection import Connection
from kafka_patterns.client.counts import PatternCounts, RequestCounts
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.status import KafkaStatus

__all__ = ["ClientHealth", "observe"]


@attrs.frozen(kw_only=True)
class ClientHealth:
    """A client at one moment. Counts go on over ``close`` and ``connect``.

    :param status: ``None`` before the first ``connect``.
    :param alive: whether the threads that read replies run; ``False`` while not connected.
    :param seconds_since_poll: since the fetcher last went round its loop; infinite without one.
    :param reply_partitions: per reply topic, the partition that requests name now.
    :param last_error: why reply partitions cannot be read, as long as one cannot; else what last
        went wrong with reading.
    :param patterns: what became of the requests, and what came that none waits for, per pattern.
    :param unreadable: records, or whole batches of them, that could not be read.
    :param stalled: the reply partitions that cannot be read now.
    """

    status: KafkaStatus | None
    alive: bool
    seconds_since_poll: float
    reply_partitions: Mapping[str, int]
    last_error: str | None
    patterns: Mapping[str, PatternCounts]
    unreadable: int
    stalled: Collection[StalledPartition]

    @property
    def sent(self) -> int:
        """Requests that were begun, of all patterns."""
        return sum(counts.sent for counts in self.patterns.values())

    @property
    def pending(self) -> int:
        """Requests that wait for a reply now."""
        return sum(counts.pending for counts in self.patterns.values())

    @property
    def replied(self) -> int:
        """Requests that ended with their reply."""
        return sum(counts.replied for counts in self.patterns.values())

    @property
    def failed(self) -> int:
        """Requests that ended with an error other than a timeout."""
        return sum(counts.failed for counts in self.patterns.values())

    @property
    def timed_out(self) -> int:
        """Requests that ended with ``RequestTimeout``."""
        return sum(counts.timed_out for counts in self.patterns.values())

    @property
    def late(self) -> int:
        """Replies to requests of this client that had ended: too late, or twice."""
        return sum(counts.late for counts in self.patterns.values())

    @property
    def of_others(self) -> int:
        """Replies to other instances that share a partition with this one."""
        return sum(counts.of_others for counts in self.patterns.values())

    @property
    def unknown(self) -> int:
        """Records without a correlation id, or with one of a foreign form."""
        return sum(counts.unknown for counts in self.patterns.values())


def observe(
    connection: Connection | None,
    status: KafkaStatus | None,
    counts: RequestCounts,
    read: Counters,
) -> ClientHealth:
    """The health of a client, from its parts."""
    fetcher = None if connection is None else connection.fetcher
    membership = None if connection is None else connection.membership
    error = None if fetcher is None else fetcher.last_error
    if membership is not None and membership.failure is not None:
        error = membership.failure
    stalled = () if fetcher is None else fetcher.stalled()
    last_error = None if error is None else f"{type(error).__name__}: {error}"
    return ClientHealth(
        status=status,
        alive=connection is not None
        and (fetcher is None or fetcher.alive)
        and (membership is None or membership.alive),
        seconds_since_poll=float("inf")
        if fetcher is None
        else max(0.0, time.monotonic() - fetcher.last_poll),
        reply_partitions={} if connection is None else connection.partitions.named(),
        last_error="; ".join(map(str, stalled)) or last_error,
        patterns=counts.snapshot(),
        unreadable=read.snapshot().get("replies_unreadable", 0),
        stalled=stalled,
    )
