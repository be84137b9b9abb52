"""How often a message was delivered before, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.headers import RETRY_ATTEMPTS, RETRY_COUNT_NAMES

__all__ = ["attempts_before"]

_MAX_DIGITS = 9
_ATTEMPT_BYTES = 4


def attempts_before(message_headers: Mapping[str, Any]) -> int:
    """Deliveries before this one that a republishing consumer wrote into a header."""
    attempt = message_headers.get(RETRY_ATTEMPTS)
    if isinstance(attempt, bytes) and len(attempt) == _ATTEMPT_BYTES and attempt[0] < 0x80:
        return max(0, int.from_bytes(attempt, "big") - 1)
    for name in RETRY_COUNT_NAMES:
        value = message_headers.get(name)
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
            return int(text)
    return 0
