"""How the value of an option is read: strictly, and with an error that says what fits.

A :class:`Kind` reads a value given in code (``read``) and the text of an environment
variable (``parse``, which gives what ``read`` then takes). Both raise :class:`ValueError`
with a text that reads on after the option's name.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from kafka_patterns.options.problems import shown, shown_type
from kafka_patterns.synchronous import is_async

__all__ = [
    "INT32_MAX",
    "INT64_MAX",
    "Kind",
    "Unchosen",
    "choice",
    "decimal",
    "file_path",
    "flag",
    "integer",
    "live",
    "milliseconds",
    "native_settings",
    "optional",
    "secret_text",
    "section",
    "text",
    "unfit",
    "unfit_type",
]

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 20
_TRUE_TEXTS = frozenset({"true", "yes", "on", "1"})
_FALSE_TEXTS = frozenset({"false", "no", "off", "0"})


@attrs.frozen
class Kind:
    """How values of one kind are read.

    :param read: checks a value and returns it in its stored form.
    :param parse: reads the text of an environment variable; ``None`` if no text can stand
        for such a value.
    :param nested: the class that mappings are structured as, if such values have options.
    """

    read: Callable[[Any], Any]
    parse: Callable[[str], Any] | None = None
    nested: type | None = None


class Unchosen(int):
    """A default that nobody chose, and that may therefore give way to another section."""


def unfit(expects: str, value: object) -> ValueError:
    """The error for a value that is not what is expected."""
    return ValueError(f"must be {expects}, not {shown(value)}")


def unfit_type(expects: str, value: object) -> ValueError:
    """The same, where the value itself may be a secret."""
    return ValueError(f"must be {expects}, not {shown_type(value)}")


def flag() -> Kind:
    """True or false, and nothing that merely looks like it."""
    expects = "True or False"

    def read(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise unfit(expects, value)

    def parse(given: str) -> bool:
        word = given.strip().lower()
        if word in _TRUE_TEXTS | _FALSE_TEXTS:
            return word in _TRUE_TEXTS
        raise unfit("true or false", given)

    return Kind(read, parse)


def integer(minimum: int, maximum: int = INT32_MAX) -> Kind:
    """A whole number within bounds, both of them allowed."""
    expects = f"an integer from {minimum:,} to {maximum:,}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise unfit(expects, value)
        if not minimum <= value <= maximum:
            raise unfit(expects, value)
        return value

    def parse(given: str) -> int:
        digits = given.strip()
        if len(digits) > _MOST_DIGITS or not _INTEGER.fullmatch(digits):
            raise unfit(expects, given)
        return int(digits)

    return Kind(read, parse)


def milliseconds(minimum: int = 1) -> Kind:
    """A duration in whole milliseconds, as far as Kafka's protocol can carry it."""
    return integer(minimum)


def decimal(minimum: float, maximum: float) -> Kind:
    """A finite number within bounds, stored as a float."""
    expects = f"a number from {minimum:g} to {maximum:g}"

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise unfit(expects, value)
        if not (math.isfinite(value) and minimum <= value <= maximum):
            raise unfit(expects, value)
        return float(value)

    def parse(given: str) -> float:
        try:
            return float(given)
        except ValueError:
            raise unfit(expects, given) from None

    return Kind(read, parse)


def text(*, empty: bool = False) -> Kind:
    """A text; one of nothing but blanks only if *empty* is allowed."""
    expects = "a text" if empty else "a text that is not empty"

    def read(value: Any) -> str:
        if isinstance(value, str) and (empty or value.strip()):
            return value
        raise unfit(expects, value)

    return Kind(read, str)


def secret_text() -> Kind:
    """A text that no error may show."""
    expects = "a text that is not empty"

    def read(value: Any) -> str:
        if isinstance(value, str) and value:
            return value
        if value == "":
            raise ValueError(f"must be {expects}")
        raise unfit_type(expects, value)

    return Kind(read, str)


def file_path() -> Kind:
    """A path, as text or ``os.PathLike``; whether the file exists is seen when connecting."""
    expects = "the path of a file"

    def read(value: Any) -> str:
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if isinstance(path, str) and "-----BEGIN" in path:
            raise ValueError(f"must be {expects}, not the content of one")
        if isinstance(path, str) and path.strip():
            return path
        raise unfit(expects, value)

    return Kind(read, str)


def choice(*allowed: str) -> Kind:
    """One of several words, in upper or lower case, stored in lower case."""
    expects = " or ".join([", ".join(f'"{word}"' for word in allowed[:-1]), f'"{allowed[-1]}"'])

    def read(value: Any) -> str:
        if isinstance(value, str) and value.lower() in allowed:
            return value.lower()
        raise unfit(expects, value)

    return Kind(read, str.strip)


def optional(kind: Kind) -> Kind:
    """The same, or ``None``."""

    def read(value: Any) -> Any:
        return None if value is None else kind.read(value)

    return Kind(read, kind.parse, kind.nested)


def live(expects: str, method: str = "__call__") -> Kind:
    """An object with a method, kept as it is; ``None`` for none. A class is not taken for one."""

    def read(value: Any) -> Any:
        if value is None:
            return None
        is_forgotten_call = isinstance(value, type)
        if is_forgotten_call or not callable(getattr(value, method, None)):
            found = f"the class {value.__name__}" if is_forgotten_call else shown_type(value)
            raise ValueError(f"must be {expects}, not {found}")
        if is_async(value if method == "__call__" else getattr(value, method)):
            raise ValueError(f"must be {expects}, not an asynchronous one: nobody would await it")
        return value

    return Kind(read)


def native_settings() -> Kind:
    """A mapping of kafka-python's own settings; copied, and read-only from then on."""
    expects = "a mapping of kafka-python's settings"

    def read(value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise unfit_type(expects, value)
        strangers = [key for key in value if not isinstance(key, str)]
        if strangers:
            raise ValueError(f"must have names as keys, not {shown(strangers[0])}")
        for key, setting in value.items():
            if callable(setting) and is_async(setting):
                raise ValueError(f"must be plain functions where they are any: {key} is async")
        return MappingProxyType(dict(value))

    def parse(given: str) -> Any:
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON object") from None

    return Kind(read, parse)


def section(section_class: type) -> Kind:
    """A section that is an object already; mappings are structured before they get here."""
    expects = f"a mapping or {section_class.__name__}"

    def read(value: Any) -> Any:
        if isinstance(value, section_class):
            return value
        raise unfit_type(expects, value)

    return Kind(read, nested=section_class)
