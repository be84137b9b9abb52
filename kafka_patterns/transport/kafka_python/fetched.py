"""One fetched chunk of one partition, unpacked record by record as there is room for it.

The base unpacks whole chunks, and throws away what is left of one when its partition is paused.
Here a chunk simply stays until it was taken: nothing is lost, fetched twice or unpacked early.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka_patterns.message import Record, TopicPartition, Unreadable
from kafka_patterns.transport.kafka_python.pieces import Damage, Piece, pieces_of
from kafka_patterns.transport.kafka_python.salvage import salvage
from kafka_patterns.transport.kafka_python.unpacking import MAX_UNPACKED_BYTES

__all__ = ["FetchedChunk"]

_NO_TIME = -1
_LONGEST_REASON = 300


class FetchedChunk:
    """The records of one partition in one answer to a fetch.

    What cannot be read is given in the place of the record, or of all that are left of its
    batch, and says so; what follows it is read on.

    :param position: the offset that was asked for; a batch may begin before it.
    :param data: the record batches as they came.
    :param check_crcs: whether each batch's checksum is compared.
    :param believed: the offset at which damage is taken for what is in the log.
    :param max_unpacked_bytes: a batch that unpacks to more cannot be read.
    """

    def __init__(
        self,
        partition: TopicPartition,
        position: int,
        data: bytes,
        *,
        check_crcs: bool = True,
        believed: int | None = None,
        max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
    ) -> None:
        self._partition = partition
        self._check_crcs = check_crcs
        self._believed = believed
        self._max_unpacked_bytes = max_unpacked_bytes
        self._ahead: Record | None = None
        self._failure: Exception | None = None
        self.next_offset = position
        self.since = time.monotonic()
        self.exhausted = False
        self._records = self._unpack(data)
        self._look_ahead()

    @property
    def can_be_taken(self) -> bool:
        """Whether what comes next is not damaged."""
        return self._failure is None or self._ahead is not None

    def take(self, max_records: int, max_bytes: int) -> list[Record]:
        """The next records, until either bound is reached or passed.

        What cannot be read is the last of those that are returned.

        :raises Damage: if what comes next is damaged, which is not believed yet; not before
            everything ahead of it was taken.
        """
        taken: list[Record] = []
        size = 0
        while self._ahead is not None and len(taken) < max_records and size < max_bytes:
            record = self._ahead
            taken.append(record)
            size += record.held_bytes
            self.next_offset = record.offset + 1
            self._look_ahead()
            if record.unreadable is not None:
                return taken
        if self._failure is not None and self._ahead is None and not taken:
            raise self._failure
        return taken

    def _look_ahead(self) -> None:
        try:
            self._ahead = next(self._records, None)
        except Exception as error:  # noqa: BLE001  whatever it is, it waits for its turn
            self._ahead, self._failure = None, error
        self.exhausted = self._ahead is None and self._failure is None

    def _unpack(self, data: bytes) -> Iterator[Record]:
        position = self.next_offset
        yield from self._pieces(data)
        if data and self.next_offset == position:
            # What was asked for is not in it, and the next answer would be the same.
            damage = Damage(f"nothing of it is at offset {position} or after it")
            if position != self._believed:
                raise damage
            yield self._raw(position, data, damage)

    def _pieces(self, data: bytes) -> Iterator[Record]:
        for piece in pieces_of(data):
            if piece.is_cut_off and not piece.is_first:
                return  # the broker's answer ends here: the next one begins with it
            try:
                batch = piece.open(
                    check_crcs=self._check_crcs, max_unpacked_bytes=self._max_unpacked_bytes
                )
            except Damage as damage:
                if self.next_offset != self._believed:
                    raise
                yield self._raw(self._offset_in(piece), piece.raw, damage)
            else:
                if not getattr(batch, "is_control_batch", False):  # a transaction's marker
                    yield from self._records_of(piece, batch)
            self.next_offset = max(self.next_offset, piece.end or 0)

    def _records_of(self, piece: Piece, batch: Any) -> Iterator[Record]:
        topic, partition = self._partition
        position = self.next_offset
        leader_epoch = piece.leader_epoch
        while True:
            try:
                for record in batch if piece.magic else _dated(batch):
                    if record.offset >= position:
                        yield Record(
                            topic,
                            partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            record.headers,
                            record.timestamp_type,
                            None,
                            leader_epoch,
                        )
                return
            except MemoryError:
                raise  # the moment's fault, and not the record's
            except Exception as error:  # noqa: BLE001  whatever it is, it is about these bytes
                salvaged = salvage(self._partition, batch, error)
                if salvaged is None:
                    yield from self._rest(piece, batch, error)
                    return
                if salvaged.offset >= position:
                    yield salvaged

    def _rest(self, piece: Piece, batch: Any, error: Exception) -> Iterator[Record]:
        """In place of all that is left of a batch; nothing if only its bytes are left over."""
        if piece.end is None or self.next_offset < piece.end:
            yield self._raw(self._offset_in(piece), piece.raw, error)

    def _offset_in(self, piece: Piece) -> int:
        """Of the first record of *piece* that was not given yet."""
        first = max(self.next_offset, piece.base_offset)
        return first if piece.end is None or first < piece.end else self.next_offset

    def _raw(self, offset: int, raw: bytes | memoryview, error: Exception) -> Record:
        reason = str(error) if isinstance(error, Damage) else f"{type(error).__name__}: {error}"
        about = Unreadable(
            f"{reason[:_LONGEST_REASON]}; the value is the whole batch as it was fetched",
            is_raw=True,
        )
        return Record(*self._partition, offset, _NO_TIME, None, bytes(raw), [], _NO_TIME, about)


def _dated(batch: Any) -> Iterator[Any]:
    """Records of the oldest format, which have no time."""
    for record in batch:
        record._timestamp = record._timestamp_type = _NO_TIME
        yield record
