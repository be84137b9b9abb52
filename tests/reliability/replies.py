"""Requests and replies by hand, with nothing of the client under test."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import Consumer

from tests.reliability.logs import read_partition

__all__ = ["Reply", "read_replies", "request_headers"]

_ANSWER_SECONDS = 10.0


class Reply(NamedTuple):
    """What came for the request with this number; ``error`` is the error's header."""

    number: int
    error: bytes | None


def request_headers(reply_topic: str, number: int) -> list[tuple[str, bytes | None]]:
    """The return address of request *number*."""
    return [
        ("kafka_correlationId", b"%d" % number),
        ("kafka_replyTopic", reply_topic.encode()),
        ("kafka_replyPartition", b"%d" % (number % 2)),
    ]


def read_replies(brokers: Sequence[str], topic: str) -> list[Reply]:
    """All replies in *topic*."""
    settings = {"bootstrap.servers": ",".join(brokers), "group.id": topic, "log_level": 2}
    replies = []
    with contextlib.closing(Consumer({**settings, "enable.auto.commit": False})) as consumer:
        known = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions
        for partition in known:
            for record in read_partition(consumer, topic, partition, _ANSWER_SECONDS):
                headers: dict[str, Any] = dict(record.headers() or ())
                number = int(headers["kafka_correlationId"])
                replies.append(Reply(number, headers.get("kafka_nest-err")))
    return replies
