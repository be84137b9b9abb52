"""Payloads to messages: serialized, with the headers a request needs."""

from __future__ import annotations

import secrets
import time
from typing import Any

from kafka_patterns import headers
from kafka_patterns.message import EncodedMessage, HeaderPairs, TopicPartition
from kafka_patterns.patterns import normalize_pattern, validate_topic_name
from kafka_patterns.serialization.registry import Serialization

__all__ = ["RequestWriter", "new_correlation_id"]

_CORRELATION_ID_LENGTH = 21


def new_correlation_id() -> bytes:
    """21 lowercase hex digits, the form of NestJS's ids, from a cryptographic source."""
    return secrets.token_hex(_CORRELATION_ID_LENGTH // 2 + 1)[:_CORRELATION_ID_LENGTH].encode()


class RequestWriter:
    """Writes requests and events of one client."""

    def __init__(self, serialization: Serialization) -> None:
        self._serialization = serialization

    def topic(self, pattern: Any) -> str:
        """The topic of *pattern*.

        :raises ConfigurationError: for ``None`` and for what is no legal topic name.
        """
        topic = normalize_pattern(pattern)
        validate_topic_name(topic)
        return topic

    def event(self, topic: str, data: Any) -> EncodedMessage:
        """An event: the payload and the user's headers, nothing else.

        :raises PayloadError: if *data* cannot be written.
        """
        return self._serialization.encode(data, topic=topic, pattern=topic)

    def request(
        self,
        message: EncodedMessage,
        correlation_id: bytes,
        reply_to: TopicPartition,
        timeout: float,
    ) -> EncodedMessage:
        """*message* with the return address; a user's header of the same name gives way."""
        deadline_ms = int((time.time() + timeout) * 1000)
        address: list[tuple[str, bytes]] = [
            (headers.CORRELATION_ID, correlation_id),
            (headers.REPLY_TOPIC, reply_to.topic.encode()),
            (headers.REPLY_PARTITION, b"%d" % reply_to.partition),
            (headers.DEADLINE, b"%d" % deadline_ms),
        ]
        return EncodedMessage(
            value=message.value,
            key=message.key,
            headers=with_headers(message.headers, address),
            partition=message.partition,
            timestamp=message.timestamp,
        )


def with_headers(pairs: HeaderPairs, added: list[tuple[str, bytes]]) -> HeaderPairs:
    """*pairs* with *added*; a name that is there already is overwritten in its place."""
    if not pairs:
        return list(added)
    new = dict(added)
    written: set[str] = set()
    result: HeaderPairs = []
    for name, value in pairs:
        if name not in new:
            result.append((name, value))
        elif name not in written:
            result.append((name, new[name]))
            written.add(name)
    return result + [(name, value) for name, value in added if name not in written]
