"""How often a message was delivered before, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.headers import RETRY_COUNT_NAMES

__all__ = ["attempts_before"]

_MAX_DIGITS = 9


def attempts_before(message_headers: Mapping[str, Any]) -> int:
    """Deliveries before this one that a republishing consumer wrote into a header."""
    for name in RETRY_COUNT_NAMES:
        value = message_headers.get(name)
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
            return int(text)
    return 0
