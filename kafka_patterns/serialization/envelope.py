"""What belongs to a message: telling an envelope from a payload, and checking the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import EncodedMessage, Message
from kafka_patterns.serialization.json_forms import has_fields
from kafka_patterns.serialization.message_headers import encode_headers

__all__ = ["encode_message", "envelope_of", "message_of"]

_ENVELOPE_KEYS = frozenset({"key", "value", "headers", "partition", "timestamp"})
_LARGEST_PARTITION = 2**31 - 1
_LARGEST_TIMESTAMP = 2**63 - 1


def message_of(payload: Any) -> Message:
    """Return *payload* as a message, not yet encoded: as its envelope says, or as its value.

    :raises PayloadError: as :func:`envelope_of` does.
    """
    return envelope_of(payload) or Message(value=payload)


def envelope_of(payload: Any) -> Message | None:
    """Return *payload* as a message, not yet encoded, or ``None`` if it is a message's value.

    A :class:`Message` stays itself; a mapping with a ``key`` or a ``value`` is an envelope;
    everything else is a value, of a message without a key.

    :raises PayloadError: for a mapping with a ``key`` or a ``value`` and names that no
        envelope has: NestJS would drop those.
    """
    if isinstance(payload, Message):
        return payload
    if not _looks_like_envelope(payload):
        return None
    foreign = [name for name in payload if name not in _ENVELOPE_KEYS]
    if foreign:
        names = ", ".join(repr(name) for name in foreign[:5])
        raise PayloadError(
            "a mapping with 'key' or 'value' is the envelope of a message and holds nothing but "
            f"key, value, headers, partition and timestamp; this one also has {names}. To send "
            "the whole mapping as the payload, write Message(value=...)"
        )
    envelope = dict(payload)
    if envelope.get("headers") is None:
        envelope["headers"] = {}
    return Message(**envelope)


def _looks_like_envelope(payload: Any) -> bool:
    if type(payload) is not dict and not isinstance(payload, Mapping):  # the first is quick
        return False
    if "key" not in payload and "value" not in payload:
        return False
    return not has_fields(type(payload))


def encode_message(
    message: Message, *, serializer: object = None, topic: str | None = None
) -> EncodedMessage:
    """Return what a serializer gave as the wire takes it, checked field by field.

    :param serializer: who gave it, named in the error.
    :param topic: where it goes, named in the error.
    :raises PayloadError: if value or key are not bytes or ``None``, a header is not text or
        bytes, or partition or timestamp is not an ``int`` in Kafka's range.
    """
    try:
        if not isinstance(message, Message):
            raise PayloadError(f"expected a Message of bytes, got {_type_name(message)}")
        return EncodedMessage(
            value=_bytes_or_null(message.value, "value"),
            key=_bytes_or_null(message.key, "key"),
            headers=encode_headers(message.headers),
            partition=_number(message.partition, "partition", _LARGEST_PARTITION),
            timestamp=_number(message.timestamp, "timestamp", _LARGEST_TIMESTAMP),
        )
    except PayloadError as error:
        target = "" if topic is None else f" for topic {topic!r}"
        source = "" if serializer is None else f" from {_type_name(serializer)}"
        raise PayloadError(f"message{target}{source}: {error}") from error


def _bytes_or_null(value: Any, name: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    raise PayloadError(
        f"the {name} must be bytes or None after serialization, not {_type_name(value)}"
    )


def _number(value: Any, name: str, largest: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    unit = " of milliseconds since 1970" if name == "timestamp" else ""
    raise PayloadError(f"the {name} must be an int{unit} from 0 to {largest}, not {value!r:.40}")


def _type_name(value: object) -> str:
    return type(value).__qualname__
