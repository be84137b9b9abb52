"""Payloads to messages: serialized, with the headers a request needs."""

from __future__ import annotations

from typing import Any

from kafka_patterns import headers
from kafka_patterns.errors import PayloadError
from kafka_patterns.message import EncodedMessage, HeaderPairs, TopicPartition
from kafka_patterns.patterns import normalize_pattern, validate_topic_name
from kafka_patterns.serialization.registry import Serialization

__all__ = ["RequestWriter"]


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

    def event(
        self, topic: str, data: Any, idempotency_key: str | bytes | None = None
    ) -> EncodedMessage:
        """An event: the payload, the user's headers, and the key if there is one.

        :raises PayloadError: if *data* cannot be written, or the key is empty or no text.
        """
        message = self._serialization.encode(data, topic=topic, pattern=topic)
        if idempotency_key is None:
            return message
        return with_idempotency_key(message, idempotency_key)

    def request(
        self,
        message: EncodedMessage,
        correlation_id: bytes,
        reply_to: TopicPartition,
        deadline: float,
    ) -> EncodedMessage:
        """*message* with the return address; a user's header of the same name gives way.

        :param deadline: when the caller stops waiting: wall clock, seconds since 1970.
        """
        address: list[tuple[str, bytes]] = [
            (headers.CORRELATION_ID, correlation_id),
            (headers.REPLY_TOPIC, reply_to.topic.encode()),
            (headers.REPLY_PARTITION, b"%d" % reply_to.partition),
            (headers.DEADLINE, b"%d" % int(deadline * 1000)),
        ]
        return _with_headers(message, address)


def with_idempotency_key(message: EncodedMessage, key: str | bytes) -> EncodedMessage:
    """*message* with *key* in its header, in place of one that it has.

    :raises PayloadError: if *key* is empty, or neither text nor bytes.
    """
    given: object = key
    if not isinstance(given, (str, bytes)) or not given:
        raise PayloadError(
            f"idempotency_key={key!r}: give text or bytes that name this message, the same "
            "whenever it is sent again"
        )
    return _with_headers(
        message, [(headers.IDEMPOTENCY_KEY, key.encode() if isinstance(key, str) else key)]
    )


def _with_headers(message: EncodedMessage, added: list[tuple[str, bytes]]) -> EncodedMessage:
    return EncodedMessage(
        value=message.value,
        key=message.key,
        headers=with_headers(message.headers, added),
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
