"""A server whose handler ends its process at ``"kill"``, and notes every other event in a file."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from kafka_patterns import DeadLetter, KafkaContext, Retry, ServerKafka, fixed
from kafka_patterns.server.marks import Ordering
from tests.integration.programs import arguments, tell


def main(
    options: dict[str, Any], topic: str, notes: str, attempts: int, ordering: Ordering
) -> None:
    """Serve until a signal, or that event."""
    server = ServerKafka(options)
    server.status.subscribe(lambda status: tell("status", status))
    retry = Retry(max_attempts=attempts, backoff=fixed(0.01))

    @server.event_pattern(topic, ordering=ordering, retry=retry, dead_letter=DeadLetter())
    def handle(event: str, context: KafkaContext) -> None:
        if event == "kill":
            tell("attempt", context.attempt)
            os.kill(os.getpid(), signal.SIGKILL)
        with Path(notes).open("a", encoding="utf-8") as file:
            file.write(f"{event}\n")

    server.run()


if __name__ == "__main__":
    main(**arguments())
