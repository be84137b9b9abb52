"""A server that appends the value of every event it handled to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kafka_patterns import ServerKafka
from tests.integration.programs import arguments


def main(options: dict[str, Any], topic: str, notes: str, seconds: float) -> None:
    server = ServerKafka(options)
    file = Path(notes).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115  until the end

    @server.event_pattern(topic, ordering="key")
    def note(event: str) -> None:
        time.sleep(seconds)
        file.write(f"{event}\n")

    with server:
        print("reading", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(**arguments())
