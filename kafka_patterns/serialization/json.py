"""The payload rules: how values become the bytes of a record, and bytes become values.

They are those of NestJS's Kafka transport, so that both sides may be of either kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import Message, Record
from kafka_patterns.serialization.envelope import envelope_of
from kafka_patterns.serialization.json_writer import JsonWriter, default_writer
from kafka_patterns.serialization.message_headers import encode_headers
from kafka_patterns.serialization.scalars import number_text

__all__ = ["JsonDeserializer", "JsonSerializer", "decode", "encode_value"]

_NUL = 0
_JSON_WHITESPACE = " \t\n\r"
_SCALARS = (str, int, float, bytes, bytearray, memoryview, Enum)


def encode_value(payload: Any, *, writer: JsonWriter = default_writer) -> bytes | None:
    """Return the bytes of a value or a key; the caller's object is never changed.

    ``None`` is a Kafka null. Text, bytes, numbers and truth values are written as they are,
    without quotes (``True`` → ``true``, ``1.0`` → ``1``), and so are the scalars that have a
    text form (datetime, date, time, Decimal, UUID, Enum). All the rest is JSON in UTF-8.

    :raises PayloadError: if *payload*, or something in it, has no such form; names the type
        and where it is.
    """
    if payload is None:
        return None
    if isinstance(payload, str):
        return _encode_text(payload)
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    if isinstance(payload, bool):
        return b"true" if payload else b"false"
    if isinstance(payload, int):
        return _encode_integer(payload)
    if isinstance(payload, float):
        return number_text(payload).encode()
    if isinstance(payload, (dict, list, tuple)):
        return writer.write(payload)
    return _encode_object(payload, writer)


def _encode_object(payload: Any, writer: JsonWriter) -> bytes | None:
    try:
        form = writer.form(payload)
    except Exception:  # noqa: BLE001 - write() fails in the same way, and says where and why
        return writer.write(payload)
    if form is None or isinstance(form, _SCALARS):
        return encode_value(form, writer=writer)
    return writer.write(form)


def _encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(
            f"the text cannot be written as UTF-8: there is a lone surrogate at index "
            f"{error.start}. Replace it, or give bytes"
        ) from error


def _encode_integer(value: int) -> bytes:
    try:
        return int.__repr__(value).encode()
    except ValueError as error:
        raise PayloadError(f"the int has too many digits to be written: {error}") from error


def decode(data: bytes | None) -> Any:
    """Return what the bytes of a value, a key or a header mean.

    Null → ``None``; bytes that start with a NUL → the same bytes; text that starts with
    ``{`` or ``[`` and is JSON → the parsed object; everything else → text, in which invalid
    UTF-8 became U+FFFD. Never fails: JSON that JavaScript or Python refuses stays text.
    """
    if data is None:
        return None
    if data and data[0] == _NUL:
        return data
    return decode_text(data.decode("utf-8", "replace"))


def decode_text(text: str) -> Any:
    """Return the object if *text* starts with ``{`` or ``[`` and is JSON, else *text*."""
    if not text or text[0] not in "{[":
        return text
    try:
        parsed, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return text
    if end != len(text) and text[end:].strip(_JSON_WHITESPACE):
        return text
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


class JsonSerializer:
    """The default serializer: NestJS's payload rules.

    :param unstructure: called first with each object that is not plain data, usually the
        ``unstructure`` of a cattrs converter (see
        :func:`kafka_patterns.serialization.typed.make_converter`).
    """

    def __init__(self, unstructure: Callable[[Any], Any] | None = None) -> None:
        self._writer = default_writer if unstructure is None else JsonWriter(unstructure)

    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        """Return a message of bytes: *payload* as a value, or what its envelope says.

        A :class:`Message` is taken as it is. A mapping with a ``key`` or a ``value`` is an
        envelope, and may have only ``key``, ``value``, ``headers``, ``partition`` and
        ``timestamp``.

        :raises PayloadError: if something in it cannot be written, or if it is not clear
            whether a mapping is an envelope.
        """
        try:
            message = envelope_of(payload)
            if message is None:
                return Message(value=encode_value(payload, writer=self._writer), headers=[])
            return Message(
                value=encode_value(message.value, writer=self._writer),
                key=encode_value(message.key, writer=self._writer),
                headers=encode_headers(message.headers),
                partition=message.partition,
                timestamp=message.timestamp,
            )
        except PayloadError as error:
            raise PayloadError(f"message for topic {topic!r}: {error}") from error


class JsonDeserializer:
    """The default deserializer: NestJS's payload rules."""

    def deserialize(self, record: Record) -> Any:
        """Return the parsed value of *record*, as :func:`decode` reads it. Never fails."""
        return decode(record.value)
