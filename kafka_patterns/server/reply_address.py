"""To whom a reply goes: what a request says of it, and what is allowed."""

from __future__ import annotations

import attrs

from kafka_patterns import headers
from kafka_patterns.message import Record

__all__ = ["ReplyAddress", "default_allow_reply_topic", "read_address"]

_PARTITION_BYTES = 4
_PARTITION_DIGITS = 9


@attrs.frozen
class ReplyAddress:
    """Where a caller waits.

    :param correlation_id: echoed byte for byte.
    :param numbered: whether the items of a stream are numbered: the caller is of our own kind,
        and all others get what NestJS would send.
    """

    topic: str
    partition: int | None
    correlation_id: bytes
    numbered: bool = False


def read_address(record: Record) -> ReplyAddress | None:
    """The return address of a request, or ``None`` if the record is an event.

    A partition of ASCII digits is decimal (NestJS), else four bytes are a big-endian number
    (Spring); anything else is no partition.
    """
    if not record.headers:
        return None
    topic = record.header(headers.REPLY_TOPIC)
    correlation_id = record.header(headers.CORRELATION_ID)
    if not topic or not correlation_id:
        return None
    partition = _read_partition(record.header(headers.REPLY_PARTITION))
    return ReplyAddress(
        topic.decode("utf-8", "replace"),
        partition,
        correlation_id,
        numbered=record.has_header(headers.DEADLINE),
    )


def _read_partition(raw: bytes | None) -> int | None:
    if not raw:
        return None
    if raw.isdigit():
        return int(raw) if len(raw) <= _PARTITION_DIGITS else None
    if len(raw) == _PARTITION_BYTES and raw[0] < 0x80:
        return int.from_bytes(raw, "big")
    return None


def default_allow_reply_topic(topic: str) -> bool:
    """Reply topics end in ``.reply`` and are not internal."""
    return topic.endswith(headers.REPLY_TOPIC_SUFFIX) and not topic.startswith("__")
