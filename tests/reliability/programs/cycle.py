"""Starts and stops a server and a client again and again, and tells what each time leaves."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path
from typing import Any

from kafka_patterns import ClientKafkaProxy, KafkaContext, ServerKafka
from tests.reliability.journal import JournalWriter
from tests.reliability.programs import arguments
from tests.support.waiting import eventually

_PATIENCE = 30.0
_EVENTS = 5


def main(options: dict[str, Any], topic: str, journal: str, cycles: int) -> None:
    """Run *cycles* cycles, each with some events and one request."""
    writer = JournalWriter(Path(journal))
    for cycle in range(cycles):
        run_once(options, topic, writer, cycle)
        gc.collect()
        eventually(lambda: threading.active_count() == 1, _PATIENCE, describe=left)
        print("left", left(), flush=True)


def run_once(options: dict[str, Any], topic: str, writer: JournalWriter, cycle: int) -> None:
    """Start, handle, and stop."""
    server = ServerKafka(options)
    enough = threading.Event()
    handled: list[int] = []

    @server.event_pattern(topic)
    def handle(job: dict[str, Any], context: KafkaContext) -> None:
        writer.started(context, job["sequence"])
        writer.finished(context, job["sequence"])
        handled.append(job["sequence"])
        if len(handled) == _EVENTS:
            enough.set()

    @server.message_pattern(f"{topic}.ask")
    def echo(payload: Any) -> Any:
        return payload

    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(f"{topic}.ask")
    with server, client:
        print("cycle", cycle, "ready", flush=True)
        assert client.send(f"{topic}.ask", {"cycle": cycle}, timeout=_PATIENCE) == {"cycle": cycle}
        assert enough.wait(_PATIENCE)


def left() -> str:
    """The threads and the open files of this process."""
    descriptors = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            descriptors.append(str(path.readlink()))
        except FileNotFoundError:
            continue  # that of the listing itself
    threads = [thread.name for thread in threading.enumerate()]
    return json.dumps({"threads": threads, "descriptors": sorted(descriptors)})


if __name__ == "__main__":
    main(**arguments())
