"""JSON as JavaScript's ``JSON.stringify`` writes it, for everything both languages have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kafka_patterns.errors import PayloadError
from kafka_patterns.serialization.careful_json import careful_text
from kafka_patterns.serialization.json_forms import json_form
from kafka_patterns.serialization.scalars import json_number_text
from kafka_patterns.synchronous import refuse_async

__all__ = ["JsonWriter", "default_writer"]

# A float that Python writes otherwise than JavaScript ends in one of these, as a value or as a
# name. Text inside a string can look the same; that only costs time.
_POINT_ZERO = re.compile(r"\.0(?![^,\]}])")
_EXPONENT = re.compile(r'e[+-]\d+(?=[,\]}]|":|\Z)')
_EXPONENT_NAME = re.compile(r'e[+-]\d+":')
_POINT_ZERO_NAME = '.0":'
_FLOAT = re.compile(r"(?<![^\[:,])-?(?:\d+\.0|\d(?:\.\d+)?e[+-]\d+|NaN|Infinity)(?![^,\]}])")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")


class JsonWriter:
    """Writes objects as JSON in UTF-8. Thread-safe.

    :param unstructure: called first with each object that is not plain data, usually the
        ``unstructure`` of a cattrs converter. If it gives the same object back, the
        documented JSON forms apply.
    """

    def __init__(self, unstructure: Callable[[Any], Any] | None = None) -> None:
        if unstructure is not None:
            refuse_async(unstructure, "unstructure")
        self._unstructure = unstructure
        self._fast_text = json.JSONEncoder(
            ensure_ascii=False, check_circular=False, separators=(",", ":"), default=self.form
        ).encode

    def write(self, value: Any) -> bytes:
        """Return *value* as JSON.

        :raises PayloadError: if there is no JSON for *value*; names the type and where it is.
        """
        try:
            text = _javascript_floats(self._fast_text(value))
        except Exception:  # noqa: BLE001 - the careful writer finds the place and reports it
            text = None
        if text is None:
            text = careful_text(value, self.form)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return _SURROGATES.sub(_surrogate_text, text).encode()

    def form(self, value: Any) -> Any:
        """Return *value*, which is no plain data, one step nearer to JSON.

        :raises TypeError: if the type has no JSON form.
        """
        if self._unstructure is not None:
            unstructured = self._unstructure(value)
            if unstructured is not value:
                return unstructured
        if isinstance(value, (set, frozenset)):
            return self._set_form(value)
        return json_form(value)

    def _set_form(self, value: set[Any] | frozenset[Any]) -> list[Any]:
        try:
            # The order of a set differs between processes; that of a key must not.
            return sorted(value, key=self.write)
        except PayloadError:
            return list(value)  # the element in question fails again when its turn comes


def _holds_point_zero(text: str) -> bool:
    if ".0" not in text:
        return False
    return _POINT_ZERO.search(text) is not None or _POINT_ZERO_NAME in text


def _holds_other_float(text: str) -> bool:
    if ("e-" in text or "e+" in text) and _EXPONENT.search(text):
        return True
    return "NaN" in text or "Infinity" in text or "-0.0" in text


def _javascript_floats(text: str) -> str | None:
    """Return *text* with its floats as JavaScript writes them; ``None`` if that takes care.

    Inside the quotes of strings and names a float cannot be told from text that looks like
    one. So the text is taken apart at its quotes, which is right as long as none is escaped.
    """
    other_float = _holds_other_float(text)
    if not other_float and not _holds_point_zero(text):
        return text
    if '\\"' in text or _POINT_ZERO_NAME in text:
        return None
    if other_float and _EXPONENT_NAME.search(text):
        return None
    parts = text.split('"')
    outside = '"'.join(parts[::2])
    if other_float:
        outside = _FLOAT.sub(_float_text, outside)
    else:
        outside = _POINT_ZERO.sub("", outside)
    parts[::2] = outside.split('"')
    return '"'.join(parts)


def _float_text(match: re.Match[str]) -> str:
    return json_number_text(float(match[0]))


def _surrogate_text(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) == 2:
        return found.encode("utf-16", "surrogatepass").decode("utf-16")
    return f"\\u{ord(found):04x}"


default_writer = JsonWriter()
