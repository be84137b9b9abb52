"""Servers and clients of many patterns: ``python -m benchmarks.programs.first_requests '{...}'``.

The client prints, for each of two rounds over all patterns, how many milliseconds each took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kafka_patterns import ClientKafkaProxy, ServerKafka

__all__ = ["main"]

_SECONDS = 30


def main(role: str, options: dict[str, Any], patterns: list[str], stranger: str) -> None:
    """Serve the patterns until SIGTERM, or ask each of them twice."""
    if role == "server":
        serve(options, patterns)
    else:
        ask(options, patterns, stranger)


def serve(options: dict[str, Any], patterns: list[str]) -> None:
    server = ServerKafka(options)
    for pattern in patterns:
        server.message_pattern(pattern)(lambda payload: payload)
    server.status.subscribe(lambda status: print("status", status, flush=True))
    server.run()


def ask(options: dict[str, Any], patterns: list[str], stranger: str) -> None:
    client = ClientKafkaProxy(options)
    for pattern in patterns:
        client.subscribe_to_response_of(pattern)
    with client:
        client.emit(stranger, "a topic that came after the producer")
        for _ in range(2):
            started = time.perf_counter()
            for pattern in patterns:
                client.send(pattern, {"id": 1}, timeout=_SECONDS)
            print((time.perf_counter() - started) / len(patterns) * 1000, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
