"""What a replay asks the cluster about topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kafka_patterns.errors import TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.base import Admin

__all__ = ["offsets_of", "partitions_of"]

_ANSWER_SECONDS = 10.0


def partitions_of(admin: Admin, topic: str) -> list[TopicPartition]:
    """The partitions of *topic*, which is not created by asking.

    :raises TransportError: if it does not exist.
    """
    if topic not in admin.topics(_ANSWER_SECONDS):
        raise TransportError(f"topic {topic!r} does not exist; check its name, or create it")
    numbers = admin.partitions(topic, _ANSWER_SECONDS)
    return [TopicPartition(topic, number) for number in sorted(numbers or ())]


def offsets_of(
    admin: Admin, partitions: Collection[TopicPartition], which: int
) -> Mapping[TopicPartition, int]:
    """The first or the end offsets of all *partitions*.

    :param which: ``EARLIEST`` or ``LATEST``.
    :raises TransportError: names the partitions whose leaders did not answer.
    """
    found = admin.offsets(dict.fromkeys(partitions, which), _ANSWER_SECONDS)
    missing = sorted(str(partition) for partition in partitions if partition not in found)
    if missing:
        raise TransportError(
            f"the leaders of {', '.join(missing)} did not answer within {_ANSWER_SECONDS:g} s"
        )
    return found
