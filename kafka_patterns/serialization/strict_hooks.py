"""Reading scalars strictly: each type from its documented JSON form, and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, get_args, get_origin
from uuid import UUID

from cattrs import Converter

from kafka_patterns.errors import PayloadError
from kafka_patterns.serialization.json_writer import default_writer
from kafka_patterns.serialization.scalars import (
    read_date,
    read_datetime,
    read_decimal,
    read_time,
    read_uuid,
)

__all__ = ["Hook", "MismatchError", "literal_hook", "origin_of", "register_scalars", "type_text"]

Hook = Callable[[Any, Any], Any]

_MODULE_PREFIX = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_<])|<locals>\.")
_TEXT_FORMS: dict[type, tuple[Callable[[str], Any], str]] = {
    datetime: (read_datetime, "an ISO 8601 date and time"),
    date: (read_date, "a date as YYYY-MM-DD"),
    time: (read_time, "a time as HH:MM:SS"),
    UUID: (read_uuid, "a UUID"),
}


class MismatchError(ValueError):
    """A value that is not what the annotation asks for."""

    def __init__(self, expected: str, value: Any) -> None:
        super().__init__(f"expected {expected}, got {_value_text(value)}")


def type_text(annotation: Any) -> str:
    """Return *annotation* as a reader knows it: ``list[Item]``, without module names."""
    plain = isinstance(annotation, type) and not get_args(annotation)
    text = annotation.__qualname__ if plain else repr(annotation)
    return _MODULE_PREFIX.sub("", text).replace("NoneType", "None")


def origin_of(annotation: Any) -> Any:
    """Return the class behind a generic alias, and any other annotation as it is."""
    return get_origin(annotation) or annotation


def _value_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value!r:.40}"
    if isinstance(value, str):
        return f"text {value!r:.60}"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else type(value).__qualname__


def register_scalars(converter: Converter) -> None:
    """Make *converter* read scalars strictly.

    ``int``, ``float``, ``str`` and ``bytes`` stand for their subclasses too, as cattrs
    looks hooks up.
    """
    converter.register_structure_hook(bool, _structure_bool)
    converter.register_structure_hook(int, _structure_int)
    converter.register_structure_hook(float, _structure_float)
    converter.register_structure_hook(str, _structure_str)
    converter.register_structure_hook(bytes, _structure_bytes)
    converter.register_structure_hook(bytearray, _structure_bytes)
    converter.register_structure_hook_func(_is_enum, _structure_enum)
    converter.register_structure_hook_func(lambda cls: cls is Decimal, _structure_decimal)
    converter.register_structure_hook_func(lambda cls: cls is type(None), _structure_null)
    converter.register_structure_hook_func(lambda cls: cls is object, lambda value, _: value)
    converter.register_structure_hook_func(lambda cls: cls in _TEXT_FORMS, _structure_text_form)


def _is_enum(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Enum)


def _structure_bool(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise MismatchError("bool", value)


def _structure_int(value: Any, cls: Any) -> Any:
    if _is_enum(cls):
        return _structure_enum(value, cls)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if cls is int else cls(value)
    raise MismatchError(type_text(cls), value)


def _structure_float(value: Any, cls: Any) -> Any:
    if _is_enum(cls):
        return _structure_enum(value, cls)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return cls(value)
        except OverflowError:
            raise MismatchError("float", value) from None
    raise MismatchError(type_text(cls), value)


def _structure_str(value: Any, cls: Any) -> Any:
    if _is_enum(cls):
        return _structure_enum(value, cls)
    if isinstance(value, str):
        return value if cls is str else cls(value)
    raise MismatchError(type_text(cls), value)


def _structure_bytes(value: Any, cls: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return cls(value)
    if isinstance(value, dict) and value.keys() == {"type", "data"} and value["type"] == "Buffer":
        numbers = value["data"]
        if isinstance(numbers, list) and all(type(number) is int for number in numbers):
            try:
                return cls(numbers)
            except ValueError:
                pass  # a number past 255
    raise MismatchError('bytes as {"type":"Buffer","data":[...]}', value)


def _structure_decimal(value: Any, _: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        try:
            return read_decimal(value)
        except (ValueError, ArithmeticError):
            raise MismatchError("a decimal number", value) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(value if isinstance(value, int) else repr(value))
    raise MismatchError("a decimal number", value)


def _structure_text_form(value: Any, cls: Any) -> Any:
    read, expected = _TEXT_FORMS[cls]
    if type(value) is cls:
        return value
    if isinstance(value, str):
        try:
            return read(value)
        except ValueError:
            pass  # said below
    raise MismatchError(expected, value)


def _structure_null(value: Any, _: Any) -> None:
    if value is not None:
        raise MismatchError("null", value)


@lru_cache(maxsize=1024)
def _members_by_json(cls: type[Enum]) -> dict[bytes, Enum]:
    members: dict[bytes, Enum] = {}
    for member in cls.__members__.values():
        try:
            members[default_writer.write(member.value)] = member
        except PayloadError:
            continue  # what cannot be written is never read
    return members


def _structure_enum(value: Any, cls: type[Enum]) -> Enum:
    if isinstance(value, cls):
        return value
    # Compared as JSON, for True == 1 in Python, and a tuple comes back as a list.
    members = _members_by_json(cls)
    member = members.get(default_writer.write(value))
    if member is not None:
        return member
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            return cls(value)  # a combination of flags, or what the class itself accepts
        except ValueError:
            pass  # said below
    values = ", ".join(text.decode("utf-8", "replace") for text in list(members)[:10])
    raise MismatchError(f"one of {values}", value)


def literal_hook(annotation: Any, converter: Converter) -> Hook:
    """Return a hook that takes exactly the values of a ``Literal``."""
    allowed = get_args(annotation)
    enums = {type(item): converter.get_structure_hook(type(item)) for item in allowed}

    def structure_literal(value: Any, _: Any) -> Any:
        for item in allowed:
            if type(item) is type(value) and item == value:
                return item
            if isinstance(item, Enum):
                try:
                    if enums[type(item)](value, type(item)) is item:
                        return item
                except MismatchError:
                    continue
        raise MismatchError(f"one of {', '.join(map(repr, allowed))}", value)

    return structure_literal
