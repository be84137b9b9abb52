"""Replies as text that can be kept: JSON by the payload rules, with a version. Pure.

A reply that is read again is plain data. It makes the same bytes on the wire, whatever object
it was made of.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import Message
from kafka_patterns.serialization.envelope import message_of
from kafka_patterns.serialization.json_writer import default_writer
from kafka_patterns.serialization.message_headers import encode_headers

__all__ = ["read_reply", "write_reply"]

_VERSION = 1
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_BYTES = (bytes, bytearray, memoryview)


def write_reply(result: Any) -> str:
    """The text for what a handler returned.

    :raises PayloadError: if something in it has no JSON form.
    """
    message = message_of(result)
    form: dict[str, Any] = {"v": _VERSION, "value": _write(message.value)}
    if message != Message(value=message.value):
        form["key"] = _write(message.key)
        form["headers"] = [
            (name, None if value is None else _base64(value))
            for name, value in encode_headers(message.headers)
        ]
        form["partition"] = message.partition
        form["timestamp"] = message.timestamp
    text = default_writer.write(form).decode()
    # A table's character set may not have them all; JSON has a form for each.
    return (
        text if text.isascii() else _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
    )


def read_reply(text: str) -> Any:
    """What a handler returned, given the text for it.

    :raises PayloadError: if the text is not one of ours.
    """
    try:
        form = json.loads(text)
        if form["v"] != _VERSION:
            raise PayloadError(f"its version is {form['v']!r}, this library reads {_VERSION}")
        value = _read(form["value"])
        if "headers" not in form:
            return Message(value=value) if _may_be_envelope(value) else value
        return Message(
            value=value,
            key=_read(form["key"]),
            headers=[
                (name, None if raw is None else base64.b64decode(raw))
                for name, raw in form["headers"]
            ],
            partition=form["partition"],
            timestamp=form["timestamp"],
        )
    except (ValueError, LookupError, TypeError) as error:
        raise PayloadError(
            f"a stored reply cannot be read: {error}. Delete it from the store of the idempotent "
            "handler, and the message is handled again"
        ) from error


def _may_be_envelope(value: Any) -> bool:
    """An object that was none may look like one, now that it is plain data."""
    return isinstance(value, Mapping) and ("key" in value or "value" in value)


def _write(value: Any) -> dict[str, Any]:
    return {"bytes": _base64(bytes(value))} if isinstance(value, _BYTES) else {"json": value}


def _read(form: Mapping[str, Any]) -> Any:
    return base64.b64decode(form["bytes"]) if "bytes" in form else form["json"]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
