"""A server that notes every event in a file, and waits for another file at ``"wait"``."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from kafka_patterns import KafkaContext, ServerKafka
from tests.integration.programs import arguments, tell
from tests.support.waiting import eventually

PATIENCE = 60.0


def main(
    options: dict[str, Any],
    topic: str,
    notes: str,
    release: str = "",
    pace: float = 0.0,
    *,
    logs: bool = False,
) -> None:
    """Serve until a signal.

    :param release: the file that ends the waiting; without one, no requests are served.
    :param pace: seconds that each event takes.
    :param logs: whether it writes down what the loggers say.
    """
    if logs:
        logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    server = ServerKafka(options)
    server.status.subscribe(lambda status: tell("status", status))
    writing = threading.Lock()

    @server.event_pattern(topic)
    def note(event: str, context: KafkaContext) -> None:
        if event == "wait":
            tell("waiting")
            eventually(lambda: Path(release).exists(), PATIENCE)
        threading.Event().wait(pace)
        with writing, Path(notes).open("a", encoding="utf-8") as file:
            file.write(f"{context.partition} {context.message.offset} {event}\n")

    if release:

        @server.message_pattern(f"{topic}.ask")
        def ask(payload: Any) -> Any:
            tell("asked")
            eventually(lambda: Path(release).exists(), PATIENCE)
            return payload

    threading.Thread(target=tell_when_signals_are_heeded, daemon=True).start()
    server.run()
    tell("drained")


def tell_when_signals_are_heeded() -> None:
    """A signal that comes earlier ends the process."""
    eventually(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, PATIENCE)
    tell("serving")


if __name__ == "__main__":
    main(**arguments())
