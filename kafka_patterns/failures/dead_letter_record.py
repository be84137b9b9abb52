"""What lies in a dead letter topic, as values. Pure."""

from __future__ import annotations

from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.failures.origin import read_origin
from kafka_patterns.message import HeaderPairs, Record
from kafka_patterns.serialization.json import decode

__all__ = ["DeadLetterRecord", "is_no_message"]

_NUMBER_LENGTHS = (4, 8)


@attrs.frozen(kw_only=True)
class DeadLetterRecord:
    """A dead letter: the message that was given up, and what is known of why.

    Written by this library or by Spring Kafka; what the headers do not tell is ``None``.

    :param topic: the dead letter topic, with ``partition``, ``offset`` and ``timestamp``
        (milliseconds since 1970) there.
    :param key: the bytes of the original message, with its ``value`` and ``headers``.
    :param original_topic: where the message came from first, with its ``original_partition``,
        ``original_offset`` and ``original_timestamp``.
    :param consumer_group: the group that gave the message up.
    :param exception: the name of the exception's class, with its ``exception_message``,
        ``exception_cause`` (the name of a class) and ``stack_trace``.
    :param replays: how often it was replayed before it came here.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: HeaderPairs
    original_topic: str | None
    original_partition: int | None
    original_offset: int | None
    original_timestamp: int | None
    consumer_group: str | None
    exception: str | None
    exception_cause: str | None
    exception_message: str | None
    stack_trace: str | None
    replays: int

    @classmethod
    def of(cls, record: Record) -> DeadLetterRecord:
        """Read *record*; never fails."""
        origin = read_origin(record.headers)
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=[
                (name, value)
                for name, value in record.headers
                if not name.startswith(headers.DLT_PREFIX)
            ],
            original_topic=_text(origin.get(headers.DLT_ORIGINAL_TOPIC)),
            original_partition=_number(origin.get(headers.DLT_ORIGINAL_PARTITION)),
            original_offset=_number(origin.get(headers.DLT_ORIGINAL_OFFSET)),
            original_timestamp=_number(origin.get(headers.DLT_ORIGINAL_TIMESTAMP)),
            consumer_group=_text(origin.get(headers.DLT_ORIGINAL_CONSUMER_GROUP)),
            exception=_text(record.header(headers.DLT_EXCEPTION_FQCN)),
            exception_cause=_text(record.header(headers.DLT_EXCEPTION_CAUSE_FQCN)),
            exception_message=_text(record.header(headers.DLT_EXCEPTION_MESSAGE)),
            stack_trace=_text(record.header(headers.DLT_EXCEPTION_STACKTRACE)),
            replays=_count(record.header(headers.REPLAY_COUNT)),
        )

    @property
    def payload(self) -> Any:
        """The value, parsed by the payload rules."""
        return decode(self.value)


def is_no_message(record: Record) -> bool:
    """Whether the value of a dead letter is bytes that nobody could read as a message."""
    unreadable = record.unreadable
    return record.has_header(headers.UNREADABLE) or (unreadable is not None and unreadable.is_raw)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _number(raw: bytes | None) -> int | None:
    """Big-endian, as Spring writes it; ``None`` for anything else."""
    if raw is None or len(raw) not in _NUMBER_LENGTHS:
        return None
    number = int.from_bytes(raw, "big", signed=True)
    return number if number >= 0 else None


def _count(raw: bytes | None) -> int:
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 10 else 0
