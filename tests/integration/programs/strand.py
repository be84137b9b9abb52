"""A program that emits when its broker is gone, and ends without closing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka_patterns import ClientKafkaProxy
from tests.integration.programs import arguments, tell
from tests.support.waiting import eventually

PATIENCE = 30.0


def main(options: dict[str, Any], events: str, count: int, release: str) -> None:
    client = ClientKafkaProxy(options)
    client.emit(events, "first")
    tell("connected")
    eventually(lambda: Path(release).exists(), PATIENCE)
    for number in range(count):
        client.emit_future(events, f"event-{number}")
    tell("stranded")


if __name__ == "__main__":
    main(**arguments())
