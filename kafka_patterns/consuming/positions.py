"""From where each assigned partition is read on, also when its log is not what it was."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs

from kafka_patterns.consuming.lookups import Lookups
from kafka_patterns.consuming.sink import RecordSink
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.base import EARLIEST, Reader

__all__ = ["Position", "Positions"]

logger = logging.getLogger("kafka_patterns.fetcher")

_LOOKUP_BACKOFF_SECONDS = 0.2


@attrs.define(eq=False)
class Position:
    """Where the next record of a partition is expected.

    :param token: for the sink, with each batch.
    :param unknown_until: when to look for the beginning of the log, in monotonic seconds, if the
        position fell out of it; until then nothing is read. Infinite while that is looked up.
    """

    token: Any
    next_offset: int
    unknown_until: float | None = None


class Positions:
    """Those of one fetcher; its thread's alone.

    :param sink: is told when a partition is read from elsewhere.
    :param lookups: looks up offsets, which may take a while.
    :param reader: the reader now; another one after a failure.
    :param reread_seconds: see :class:`~kafka_patterns.consuming.fetcher.Fetcher`.
    """

    def __init__(
        self,
        sink: RecordSink,
        lookups: Lookups,
        reader: Callable[[], Reader],
        reread_seconds: float | None,
    ) -> None:
        self._sink = sink
        self._lookups = lookups
        self._reader = reader
        self._reread_seconds = reread_seconds
        self._positions: dict[TopicPartition, Position] = {}

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._positions)

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._positions

    def get(self, partition: TopicPartition) -> Position | None:
        """That of *partition*, if it is assigned."""
        return self._positions.get(partition)

    def open(self, partition: TopicPartition, offset: int, token: Any) -> None:
        """*partition* is assigned, and read from *offset* on."""
        self._positions[partition] = Position(token, offset)

    def close(self, partition: TopicPartition) -> bool:
        """*partition* is assigned no longer; whether it was."""
        return self._positions.pop(partition, None) is not None

    def hand_to(self, reader: Reader) -> None:
        """Let a new *reader* go on where the last one stopped."""
        for partition, position in self._positions.items():
            if position.unknown_until is None:
                reader.assign(partition, position.next_offset)

    def seek(self, partition: TopicPartition, offset: int, token: Any = None) -> None:
        """Read *partition*, if it is assigned, and still with *token*, on from *offset*."""
        position = self._positions.get(partition)
        if position is None or (token is not None and token is not position.token):
            return
        self._restart(partition, position, offset)
        if position.unknown_until is None:
            self._reader().seek(partition, offset)
        else:
            self._go_on(partition, position)

    def _go_on(self, partition: TopicPartition, position: Position) -> None:
        position.unknown_until = None
        self._reader().assign(partition, position.next_offset)

    def _restart(self, partition: TopicPartition, position: Position, offset: int) -> None:
        position.token = self._sink.restarted(partition, position.token, offset)
        position.next_offset = offset

    def lose(self, offsets: Mapping[TopicPartition, int]) -> None:
        """These offsets are not in the logs any more."""
        reader = self._reader()
        for partition, offset in offsets.items():
            logger.warning(
                "%s: offset %d is not in the log any more, going on at its beginning",
                partition,
                offset,
            )
            position = self._positions.get(partition)
            if position is not None:
                reader.unassign([partition])
                position.unknown_until = time.monotonic()

    def find_lost(self) -> None:
        """Look for the beginning of the logs from which positions fell out, to go on there."""
        now = time.monotonic()
        lost = {
            partition: position
            for partition, position in self._positions.items()
            if position.unknown_until is not None and position.unknown_until <= now
        }
        if lost:
            for position in lost.values():
                position.unknown_until = math.inf
            self._lookups.ask(dict.fromkeys(lost, EARLIEST), partial(self._find, lost))

    def _find(
        self, lost: Mapping[TopicPartition, Position], found: Mapping[TopicPartition, int]
    ) -> None:
        for position in lost.values():
            if position.unknown_until is not None:
                position.unknown_until = time.monotonic()  # looked for again if this is cut short
        for partition, position in lost.items():
            # It may be read again meanwhile, or be no longer assigned.
            if self._positions.get(partition) is not position or position.unknown_until is None:
                continue
            offset = found.get(partition)
            if offset is None:
                position.unknown_until = time.monotonic() + _LOOKUP_BACKOFF_SECONDS
            else:
                self._restart(partition, position, offset)
                self._go_on(partition, position)

    def doubt(self, unknown_since: Mapping[TopicPartition, float]) -> None:
        """These partitions were away: a position says nothing about another log."""
        for partition in unknown_since:
            position = self._positions.get(partition)
            if position is not None:
                self._sink.reappeared(partition, position.token)
        self._read_again(unknown_since)

    def _read_again(self, unknown_since: Mapping[TopicPartition, float]) -> None:
        """What was written since then, if that may come twice.

        Of a log that is the same after all, this reads a little twice.
        """
        if self._reread_seconds is None:
            return
        timestamps = {
            partition: int((since - self._reread_seconds) * 1000)
            for partition, since in unknown_since.items()
        }
        doubted = {partition: self._positions.get(partition) for partition in timestamps}
        self._lookups.ask(timestamps, partial(self._go_back, doubted))

    def _go_back(
        self, doubted: Mapping[TopicPartition, Position | None], found: Mapping[TopicPartition, int]
    ) -> None:
        for partition, offset in found.items():
            position = self._positions.get(partition)
            if position is None or position is not doubted[partition]:
                continue
            if offset < position.next_offset:
                logger.info("%s was unknown for a while, reading from offset %d", partition, offset)
                self.seek(partition, offset)
