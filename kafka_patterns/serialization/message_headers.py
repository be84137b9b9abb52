"""Record headers: what a user gives as pairs of bytes, and what a handler sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import HeaderPairs, HeadersLike

__all__ = ["encode_headers"]


def encode_headers(headers: HeadersLike | None) -> HeaderPairs:
    """Return *headers* as a new list of name and bytes, in the order given.

    :param headers: a mapping, or pairs where a name repeats; values are text or bytes, in
        pairs also ``None``, which is a null header.
    :raises PayloadError: if a name is not a non-empty text or a value is anything else.
    """
    given: Any = headers
    if given is None:
        return []
    if not given and type(given) in (dict, list):
        return []
    if isinstance(given, Mapping):
        return [(_name(name), _value(name, value)) for name, value in given.items()]
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise PayloadError(
            "headers must be a mapping of names to text or bytes, or a list of pairs, not "
            f"{type(given).__qualname__}"
        )
    return [_pair(item) for item in given]


def _pair(item: Any) -> tuple[str, bytes | None]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise PayloadError(
            f"headers given as a list hold pairs of a name and a value, not {item!r:.60}"
        )
    name, value = item
    return _name(name), None if value is None else _value(name, value)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise PayloadError(f"a header's name must be a non-empty text, not {name!r:.60}")
    _encode(name, f"the name {name!r:.60} of a header")
    return str.__str__(name)


def _value(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _encode(value, f"the value of header {name!r:.60}")
    hint = "give str(...), or JSON text for an object"
    if value is None:
        hint = "leave it out, or give pairs instead of a mapping for a null header"
    elif isinstance(value, Iterable):
        hint = "give pairs instead of a mapping to repeat a header, or JSON text for an object"
    raise PayloadError(
        f"the value of header {name!r:.60} must be str or bytes, not "
        f"{type(value).__qualname__}; {hint}"
    )


def _encode(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(f"{what} is no valid Unicode text: {error.reason}") from error
