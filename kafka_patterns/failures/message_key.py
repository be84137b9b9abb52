"""By what a message is the same when it is delivered again. Pure.

A key begins with the scope of the handler and the kind of what makes the message the same, so that
what a sender writes never is the place of a message, nor a key of another handler.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from kafka_patterns import headers
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.message import Record
from kafka_patterns.patterns import is_retry_topic

__all__ = ["key_of_handler", "key_of_message", "message_place"]

_LONGEST_KEY = 200
_MAX_DIGITS = 19
_PLACE, _REPLAYED, _OF_SENDER, _OF_HANDLER = "place", "replayed", "header", "key"
_RETRY_ORIGIN = (
    headers.RETRY_ORIGINAL_TOPIC,
    headers.RETRY_ORIGINAL_PARTITION,
    headers.RETRY_ORIGINAL_OFFSET,
)

Place = tuple[str, int, int]


def message_place(topic: str, partition: int, offset: int) -> str:
    """What a message is called that has no key: unique within a cluster."""
    return f"{topic}/{partition}/{offset}"


def key_of_message(context: Any, scope: str) -> str:
    """By what its sender wrote into the header, else by where the message is, or was first."""
    of_sender = context.idempotency_key
    if of_sender:
        return _key(scope, _OF_SENDER, of_sender)
    message = context.message
    place = message.topic, message.partition, message.offset
    record = Record(*place, message.timestamp, None, None, message.raw_headers)
    return _key_of_place(record, scope)


def key_of_handler(found: object, scope: str) -> str:
    """By what the key function of a handler returned.

    :raises ConfigurationError: if that is no key.
    """
    if isinstance(found, bytes) and found:
        return _key(scope, _OF_HANDLER, found)
    if isinstance(found, (str, int, UUID)) and not isinstance(found, bool) and found != "":
        return _key(scope, _OF_HANDLER, str(found))
    raise ConfigurationError(
        f"the key of an idempotent message must be a text, an int, a UUID or bytes, and not empty; "
        f"the key function of {scope} returned {found!r:.60}"
    )


def _key_of_place(record: Record, scope: str) -> str:
    place = _before_retries(record)
    replayed_from = record.header(headers.REPLAY_ORIGIN)
    if replayed_from:
        origin = _first_place(replayed_from, place)
        if origin is None:  # elsewhere than where it was: of a kind that no other message has
            return _key(scope, _REPLAYED, replayed_from)
        place = origin
    return _key(scope, _PLACE, message_place(*place))


def _before_retries(record: Record) -> Place:
    """Of a message in a retry topic, the place it came from: it may be there as well."""
    if is_retry_topic(record.topic):
        topic, partition, offset = map(record.header, _RETRY_ORIGIN)
        if topic and partition and offset:
            place = int.from_bytes(partition, "big"), int.from_bytes(offset, "big")
            return topic.decode("utf-8", "backslashreplace"), *place
    return record.topic, record.partition, record.offset


def _first_place(origin: bytes, place: Place) -> Place | None:
    """Where a message that stands at *place* stood before it was replayed, if it may be believed.

    Whoever may write to a topic can say that a message is a replay. It can only be one of what
    stood in its partition before it: nobody speaks for messages of other topics, or to come.
    """
    topic, partition, offset = place
    name, _, number = origin.decode("utf-8", "replace").rpartition("/")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_DIGITS
    if name != f"{topic}/{partition}" or not is_number or int(number) >= offset:
        return None
    return topic, partition, int(number)


def _key(scope: str, kind: str, found: str | bytes) -> str:
    try:
        key = found if isinstance(found, str) else found.decode()
    except UnicodeDecodeError:
        kind, key = f"{kind}-hex", found.hex()  # type: ignore[union-attr]  # a text decodes nothing
    escaped = scope.replace("\\", "\\\\").replace(":", "\\:")
    return _bounded(f"{escaped}:{kind}:{key}")


def _bounded(key: str) -> str:
    """A key of any length as one that fits into a column and an index."""
    if len(key) <= _LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key[: _LONGEST_KEY - 66]}..{digest}"
