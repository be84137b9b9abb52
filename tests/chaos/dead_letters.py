"""What lies in dead letter topics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer, TopicPartition

from tests.chaos.history import RecordId

__all__ = ["read_dead_letters"]

_ANSWER_SECONDS = 10.0


def read_dead_letters(brokers: Sequence[str], topics: Iterable[str]) -> set[RecordId]:
    """The poison that was set aside, of each of *topics*."""
    settings = {"bootstrap.servers": ",".join(brokers), "group.id": "looks", "log_level": 2}
    found = set()
    with contextlib.closing(Consumer({**settings, "enable.auto.commit": False})) as consumer:
        for topic in topics:
            letters = f"{topic}-dlt"
            known = consumer.list_topics(letters, timeout=_ANSWER_SECONDS)
            for partition in known.topics[letters].partitions:
                place = TopicPartition(letters, partition, 0)
                found |= {RecordId(topic, *letter) for letter in _read(consumer, place)}
    return found


def _read(consumer: Consumer, place: TopicPartition) -> Iterable[tuple[str, int]]:
    _, end = consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
    consumer.assign([place])
    offset = 0
    while offset < end:
        record = consumer.poll(_ANSWER_SECONDS)
        assert record is not None, f"{place} ends at {offset} instead of {end}"
        assert record.error() is None, record.error()
        offset = (record.offset() or 0) + 1
        key, value = record.key(), record.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        if value.startswith(b"\xff"):
            yield key.decode(), int(value[1:])
