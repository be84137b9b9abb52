"""The text of a scalar: how it is written, and how exactly that text is read back."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isfinite
from uuid import UUID

__all__ = [
    "datetime_text",
    "json_number_text",
    "number_text",
    "read_date",
    "read_datetime",
    "read_decimal",
    "read_scalar",
    "read_time",
    "read_uuid",
]

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
_ZONE = r"(Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?"
_DATE_TEXT = re.compile(_DATE, re.ASCII)
_TIME_TEXT = re.compile(_TIME + _ZONE, re.ASCII)
_DATETIME_TEXT = re.compile(_DATE + "[T ]" + _TIME + _ZONE, re.ASCII)
_UUID_TEXT = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_DECIMAL_TEXT = re.compile(
    r"-?(?:\d+(?:\.\d*)?(?:E[+-]?\d+)?|Infinity|s?NaN\d*)", re.IGNORECASE | re.ASCII
)
_INTEGER_TEXT = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_FLOAT_TEXT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity", re.ASCII)
_LARGEST_POSITIONAL_EXPONENT = 20
_SMALLEST_POSITIONAL_EXPONENT = -6


def number_text(value: float) -> str:
    """Return what JavaScript's ``String(value)`` gives: ``1.0`` → ``1``, ``1e-07`` → ``1e-7``."""
    text = float.__repr__(value)
    if "e" in text:
        return _exponent_text(text)
    if text.endswith(".0"):
        return "0" if value == 0 else text[:-2]
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def json_number_text(value: float) -> str:
    """Return what ``JSON.stringify(value)`` gives: a number, or ``null`` if it is not finite."""
    return number_text(value) if isfinite(value) else "null"


def _exponent_text(text: str) -> str:
    mantissa, _, exponent_text = text.partition("e")
    exponent = int(exponent_text)
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.lstrip("-").replace(".", "")
    if _SMALLEST_POSITIONAL_EXPONENT <= exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if 0 < exponent <= _LARGEST_POSITIONAL_EXPONENT:
        return sign + digits.ljust(exponent + 1, "0")
    return f"{mantissa}e{exponent:+d}"


def datetime_text(value: datetime) -> str:
    """Return ISO 8601: UTC with ``Z`` if *value* is aware, without a zone if it is naive.

    Three digits of a second, as JavaScript's ``Date.toJSON`` writes them; six only if there
    are microseconds to keep.

    :raises OverflowError: if the moment in UTC lies outside the years 1 to 9999.
    """
    precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
    if value.utcoffset() is None:
        return value.replace(tzinfo=None).isoformat(timespec=precision)
    utc = value.astimezone(timezone.utc).replace(tzinfo=None)
    return utc.isoformat(timespec=precision) + "Z"


def read_datetime(text: str) -> datetime:
    """Read ISO 8601 with or without a zone; digits past the microsecond are cut off.

    :raises ValueError: if *text* is anything else.
    """
    match = _DATETIME_TEXT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, *clock = match.groups()
    moment = _clock_time(*clock)
    return datetime.combine(date(int(year), int(month), int(day)), moment)


def read_date(text: str) -> date:
    """Read ``YYYY-MM-DD``.

    :raises ValueError: if *text* is anything else.
    """
    match = _DATE_TEXT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day = match.groups()
    return date(int(year), int(month), int(day))


def read_time(text: str) -> time:
    """Read ``HH:MM``, with seconds, a fraction and a zone if they are there.

    :raises ValueError: if *text* is anything else.
    """
    match = _TIME_TEXT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return _clock_time(*match.groups())


def _clock_time(
    hour: str, minute: str, second: str | None, fraction: str | None, zone: str | None
) -> time:
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    return time(int(hour), int(minute), int(second or 0), microsecond, _zone(zone))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return timezone.utc
    hours, minutes, *seconds = text[1:].split(":")
    offset = timedelta(
        hours=int(hours), minutes=int(minutes), seconds=float(seconds[0]) if seconds else 0
    )
    return timezone(-offset if text.startswith("-") else offset)


def read_uuid(text: str) -> UUID:
    """Read the hyphenated form.

    :raises ValueError: if *text* is anything else.
    """
    if _UUID_TEXT.fullmatch(text) is None:
        raise ValueError(text)
    return UUID(text)


def read_decimal(text: str) -> Decimal:
    """Read what ``str(Decimal)`` writes.

    :raises ValueError: if *text* is anything else.
    """
    if _DECIMAL_TEXT.fullmatch(text) is None:
        raise ValueError(text)
    return Decimal(text)


def read_scalar(text: str) -> bool | int | float | None:
    """Read the text of a number or a truth value, exactly as the wire writes one.

    :returns: ``None`` if *text* is neither; ``"5 "``, ``"05"`` and ``"True"`` are neither.
    """
    if text == "true":
        return True
    if text == "false":
        return False
    if _INTEGER_TEXT.fullmatch(text) is not None:
        try:
            return int(text)
        except ValueError:  # more digits than the interpreter converts
            return None
    return float(text) if _FLOAT_TEXT.fullmatch(text) is not None else None
