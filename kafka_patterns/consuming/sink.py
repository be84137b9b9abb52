"""Where a fetcher puts what it reads."""

from __future__ import annotations

from typing import Any, Protocol

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.base import Room

__all__ = ["RecordSink"]


class RecordSink(Protocol):
    """Where fetched records go. Called in the fetcher's thread; must not block."""

    def room(self, partition: TopicPartition, token: Any) -> Room:
        """How much of *partition* :meth:`deliver` would take now.

        Whoever said that there is none calls ``Fetcher.wake`` when there is some.

        :param token: what ``Fetcher.assign`` was given with this partition.
        """
        ...

    def deliver(self, partition: TopicPartition, token: Any, records: list[Record]) -> None:
        """Take records, in order; no more than there was room for."""
        ...

    def passed(self, partition: TopicPartition, token: Any, offset: int) -> None:
        """Between the last delivered record and *offset* there is none."""
        ...

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        """*partition* is read from *offset* on: it was sought, or the position left the log.

        The offsets may count other records than before: a topic may have been made anew.

        :returns: the token from now on.
        """
        ...

    def reappeared(self, partition: TopicPartition, token: Any) -> None:
        """*partition*, which no broker knew for a while, is there again, perhaps made anew."""
        ...
