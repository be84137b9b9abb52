"""A program that forgets to close its client and its server."""

from __future__ import annotations

import threading
from typing import Any

from kafka_patterns import ClientKafkaProxy, ServerKafka
from tests.integration.programs import arguments, tell

PATIENCE = 30.0


def main(options: dict[str, Any], pattern: str, events: str, count: int, *, busy: bool) -> None:
    server = ServerKafka(options)
    began = threading.Event()

    @server.message_pattern(pattern)
    def echo(payload: Any) -> Any:
        if payload == "wait":
            began.set()
            threading.Event().wait(600)
        return payload

    server.start()
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(pattern)
    tell("answer", client.send(pattern, "hero", timeout=PATIENCE))
    if busy:
        client.send_future(pattern, "wait", timeout=PATIENCE)
        began.wait(PATIENCE)
    for number in range(count):
        client.emit_future(events, f"event-{number}")
    tell("forgotten")


if __name__ == "__main__":
    main(**arguments())
