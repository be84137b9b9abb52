"""The one documented JSON form of each Python type that JSON itself does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

import attrs

from kafka_patterns.message import Message
from kafka_patterns.serialization.scalars import datetime_text, number_text

__all__ = ["has_fields", "json_form", "key_text"]


@lru_cache(maxsize=1024)
def _field_names(cls: type) -> tuple[str, ...] | None:
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls))
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return None


def has_fields(cls: type) -> bool:
    """Whether *cls* is an attrs class or a dataclass."""
    return _field_names(cls) is not None


def _bytes_form(value: bytes | bytearray | memoryview) -> dict[str, Any]:
    return {"type": "Buffer", "data": list(bytes(value))}


_SCALAR_FORMS: dict[type, Callable[[Any], Any]] = {
    datetime: datetime_text,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: Decimal.__str__,
    UUID: UUID.__str__,
}
_FORMS: dict[type, Callable[[Any], Any]] = {
    **_SCALAR_FORMS,
    bytes: _bytes_form,
    bytearray: _bytes_form,
    memoryview: _bytes_form,
}


def json_form(value: Any) -> Any:
    """Return *value* one step nearer to JSON; what it holds may need further steps.

    Sets are not handled here: their order depends on how their elements are written.

    :raises TypeError: if the type has no JSON form.
    """
    cls: type = type(value)
    form = _FORMS.get(cls)
    if form is not None:
        return form(value)
    names = _field_names(cls)
    if names is not None:
        return _fields_form(value, names)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    for known, form in _FORMS.items():
        if isinstance(value, known):
            return form(value)
    raise TypeError(
        f"{_article(cls)} has no JSON form; convert it to plain data, an attrs class or a "
        "dataclass first, or use a serializer of your own"
    )


def _fields_form(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(value, Message):
        raise TypeError(
            "a Message cannot be part of a payload; give it as the payload itself, "
            "or a list of them to emit_batch()"
        )
    return {name: getattr(value, name) for name in names}


def key_text(key: Any) -> str:
    """Return the text that *key* has as the name in a JSON object.

    :raises TypeError: if it has none.
    """
    if isinstance(key, Enum):
        return key_text(key.value)
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        return number_text(key)
    for known, form in _SCALAR_FORMS.items():
        if isinstance(key, known):
            return str(form(key))
    raise TypeError(f"{_article(type(key))} cannot be the name of a field in JSON")


def _article(cls: type) -> str:
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    name = module + cls.__qualname__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
