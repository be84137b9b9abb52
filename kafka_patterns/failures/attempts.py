"""How often a message was delivered before, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.headers import RETRY_ATTEMPTS, RETRY_COUNT_NAMES
from kafka_patterns.message import Record
from kafka_patterns.patterns import is_retry_topic

__all__ = ["attempts_before", "attempts_in_other_topics"]

_MAX_DIGITS = 9
_ATTEMPT_BYTES = 4


def attempts_before(message_headers: Mapping[str, Any]) -> int:
    """Deliveries before this one that a republishing consumer wrote into a header."""
    for name in RETRY_COUNT_NAMES:
        value = message_headers.get(name)
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
            return int(text)
    return 0


def attempts_in_other_topics(record: Record) -> int | None:
    """Deliveries of a record of a retry topic before it came there; ``None`` for any other.

    In another topic the header is only what a sender wrote.
    """
    attempt = record.header(RETRY_ATTEMPTS)
    if attempt is None or len(attempt) != _ATTEMPT_BYTES or attempt[0] >= 0x80:
        return None
    return max(0, int.from_bytes(attempt, "big") - 1) if is_retry_topic(record.topic) else None
