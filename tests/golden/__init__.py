"""Tables made by the real NestJS, kafkajs and Kafka, and how to read them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

_DIRECTORY = Path(__file__).parent
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a table, with its tags still in place."""
    table = json.loads((_DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = table["rows"]
    return found


def untagged(value: Any) -> Any:
    """What a tagged value of a table stands for in Python."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$float" in value:
        return float(value["$float"])
    if "$date" in value:
        return _EPOCH + timedelta(milliseconds=value["$date"])
    return {name: untagged(item) for name, item in value.items()}


def from_hex(text: str | None) -> bytes | None:
    """Bytes, or a Kafka null."""
    return None if text is None else bytes.fromhex(text)
