"""What lies in dead letter topics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer

from tests.chaos.history import RecordId
from tests.reliability.logs import read_partition

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
                found |= {RecordId(topic, *one) for one in _read(consumer, letters, partition)}
    return found


def _read(consumer: Consumer, letters: str, partition: int) -> Iterable[tuple[str, int]]:
    for record in read_partition(consumer, letters, partition, _ANSWER_SECONDS):
        key, value = record.key(), record.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        if value.startswith(b"\xff"):
            yield key.decode(), int(value[1:])
