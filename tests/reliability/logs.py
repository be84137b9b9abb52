"""All records of a partition, read with nothing of the library under test."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, Message, TopicPartition

__all__ = ["read_partition"]


def read_partition(
    consumer: Consumer, topic: str, partition: int, timeout: float
) -> Iterator[Message]:
    """The records up to the end as it is now; *timeout* seconds for each answer."""
    place = TopicPartition(topic, partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=timeout)
    consumer.assign([place])
    offset = 0
    while offset < end:
        record = consumer.poll(timeout)
        assert record is not None, f"{place} ends at {offset} instead of {end}"
        assert record.error() is None, record.error()
        offset = (record.offset() or 0) + 1
        yield record
