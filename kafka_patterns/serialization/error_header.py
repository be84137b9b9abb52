"""The error of a request, as it travels in a reply's ``kafka_nest-err`` header."""

from __future__ import annotations

from math import isnan
from typing import Any

from kafka_patterns.serialization.json import decode, encode_value

__all__ = ["decode_error", "encode_error"]


def encode_error(error: Any) -> bytes | None:
    """Return the bytes of the header, or ``None`` if there is to be no such header.

    What JavaScript takes for false (``None``, ``""``, ``0``, ``False``, NaN) has no header,
    as in NestJS. Text is written raw, numbers and ``True`` as text (NestJS would send no
    reply at all), objects and lists, empty ones too, as JSON.

    :raises PayloadError: if *error* cannot be written.
    """
    if _is_false_in_javascript(error):
        return None
    return encode_value(error)


def _is_false_in_javascript(error: Any) -> bool:
    if isinstance(error, float) and isnan(error):
        return True
    return error is None or (isinstance(error, (str, int, float)) and not error)


def decode_error(data: bytes | None) -> Any:
    """Return the error a header holds: the parsed object, a text, or ``None`` for a null."""
    return decode(data)
