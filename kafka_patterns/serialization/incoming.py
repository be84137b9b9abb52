"""What a handler sees of a record: its parsed key and headers beside the raw bytes."""

from __future__ import annotations

from typing import Any

from kafka_patterns.message import HeaderPairs, IncomingMessage, Record
from kafka_patterns.serialization.json import decode, decode_text

__all__ = ["incoming_message", "parse_headers"]


def parse_headers(pairs: HeaderPairs) -> dict[str, Any]:
    """Return the headers by name, parsed by the payload rules, as NestJS shows them.

    The values of a repeated name are joined by commas (a null is an empty text there) and
    then parsed; the raw pairs keep them apart.
    """
    if not pairs:
        return {}
    values: dict[str, list[bytes | None]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {
        name: decode(found[0]) if len(found) == 1 else _decode_joined(found)
        for name, found in values.items()
    }


def _decode_joined(values: list[bytes | None]) -> Any:
    return decode_text(",".join((value or b"").decode("utf-8", "replace") for value in values))


def incoming_message(record: Record, value: Any) -> IncomingMessage:
    """Return *record* as a handler sees it.

    :param value: what the deserializer made of the record's value.
    """
    return IncomingMessage(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        size=record.size,
        key=decode(record.key),
        value=value,
        headers=parse_headers(record.headers),
        raw_key=record.key,
        raw_value=record.value,
        raw_headers=record.headers,
    )
