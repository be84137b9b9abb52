"""One fetched chunk of one partition, unpacked record by record as there is room for it.

The base unpacks whole chunks, and throws away what is left of one when its partition is paused.
Here a chunk simply stays until it was taken: nothing is lost, fetched twice or unpacked early.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka.errors import CorruptRecordException
from kafka.record import MemoryRecords

from kafka_patterns.message import Record, TopicPartition

__all__ = ["FetchedChunk"]


class FetchedChunk:
    """The records of one partition in one answer to a fetch.

    :param position: the offset that was asked for; a batch may begin before it.
    :param data: the record batches as they came.
    :param check_crcs: whether each batch's checksum is compared.
    """

    def __init__(
        self, partition: TopicPartition, position: int, data: bytes, *, check_crcs: bool = True
    ) -> None:
        self._partition = partition
        self._check_crcs = check_crcs
        self._records = self._unpack(MemoryRecords(data))
        self._ahead: Record | None = None
        self._failure: Exception | None = None
        self.next_offset = position
        self.exhausted = False
        self._look_ahead()

    def take(self, max_records: int, max_bytes: int) -> list[Record]:
        """The next records, until either bound is reached or passed.

        :raises kafka.errors.KafkaError: if what comes next is damaged, or compressed in a way
            this installation cannot read; not before everything ahead of it was taken.
        """
        taken: list[Record] = []
        size = 0
        while self._ahead is not None and len(taken) < max_records and size < max_bytes:
            record = self._ahead
            taken.append(record)
            size += record.size
            self.next_offset = record.offset + 1
            self._look_ahead()
        if self._failure is not None and self._ahead is None and not taken:
            raise self._failure
        return taken

    def _look_ahead(self) -> None:
        try:
            self._ahead = next(self._records, None)
        except Exception as error:  # noqa: BLE001  whatever it is, it waits for its turn
            self._ahead, self._failure = None, error
        self.exhausted = self._ahead is None and self._failure is None

    def _unpack(self, records: MemoryRecords) -> Iterator[Record]:
        topic, partition = self._partition
        position = self.next_offset
        while (batch := records.next_batch()) is not None:
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException("the checksum of a batch is wrong")
            if not getattr(batch, "is_control_batch", False):  # a transaction's marker
                for record in batch:
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
                        )
            self.next_offset = max(self.next_offset, _end(batch))


def _end(batch: Any) -> int:
    """The offset after a batch, also where compaction took its last records."""
    try:
        return int(batch.base_offset) + int(batch.last_offset_delta) + 1
    except AttributeError:
        return 0  # the format before Kafka 0.11: only its records tell
