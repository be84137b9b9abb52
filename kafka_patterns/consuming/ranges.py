"""Reading partitions from one offset to another, in the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from kafka_patterns.errors import TransportError
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.base import (
    EARLIEST,
    LATEST,
    Admin,
    OffsetOutOfRange,
    PartitionsReappeared,
    Reader,
    Room,
)

__all__ = ["RangeReader"]

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
_ANSWER_SECONDS = 5.0
_MAX_BYTES = 16 * 1024 * 1024


class RangeReader:
    """Reads what lies between two offsets of each partition.

    :param starts: the first offset to read.
    :param ends: the offset to stop before.
    :param idle: called before each wait for the broker, which takes a tenth of a second at most.
    """

    def __init__(
        self,
        reader: Reader,
        admin: Admin,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._reader = reader
        self._admin = admin
        self._ends = {tp: ends[tp] for tp, start in starts.items() if start < ends[tp]}
        self._idle = idle
        for partition in self._ends:
            reader.assign(partition, starts[partition])

    def read(self, count: int) -> list[Record]:
        """The next records in the order of each partition; none at the end of all.

        :param count: records of one partition at most.
        :raises TransportError: if nothing comes for half a minute.

        What cannot be read comes as a record that says so.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._ends:
            self._idle()
            records = self._poll(count)
            if records:
                return records
            if self._ends and time.monotonic() > deadline:
                why = "; ".join(stalled.reason for stalled in self._reader.stalled())
                raise TransportError(
                    f"nothing could be read of {', '.join(map(str, self._ends))} for "
                    f"{_PATIENCE_SECONDS:g} s: {why or 'their leaders do not answer'}"
                )
        return []

    def _poll(self, count: int) -> list[Record]:
        room = Room(count, _MAX_BYTES)
        try:
            polled = self._reader.poll(_POLL_SECONDS, lambda _: room)
        except OffsetOutOfRange as error:
            self._refuse_if_made_again(error.positions)
            self._go_on_at_the_first_left(error.positions)
            return []
        except PartitionsReappeared as error:
            self._refuse_if_made_again(error.unknown_since)
            return []
        found = [
            record
            for partition, records in polled.items()
            for record in records
            if record.offset < self._ends.get(partition, 0)
        ]
        reached = {partition: records[-1].offset + 1 for partition, records in polled.items()}
        reached.update(self._reader.take_reached())
        finished = [tp for tp, end in self._ends.items() if reached.get(tp, 0) >= end]
        if finished:
            self._reader.unassign(finished)
        for partition in finished:
            del self._ends[partition]
        return found

    def _refuse_if_made_again(self, partitions: Collection[TopicPartition]) -> None:
        """What stands there now would be taken for what stood there when the ends were asked for.

        :raises TransportError: if a partition ends before it did.
        """
        ends = self._admin.offsets(dict.fromkeys(partitions, LATEST), _ANSWER_SECONDS)
        for partition, end in ends.items():
            if end < self._ends.get(partition, 0):
                raise TransportError(
                    f"{partition} ended at {self._ends[partition]} before, and ends at {end} now: "
                    "its topic was deleted and made again, or its broker lost records"
                )

    def _go_on_at_the_first_left(self, positions: Mapping[TopicPartition, int]) -> None:
        """The broker deleted what was to be read next."""
        wanted = dict.fromkeys(positions, EARLIEST)
        for partition, first in self._admin.offsets(wanted, _ANSWER_SECONDS).items():
            self._reader.seek(partition, first)
