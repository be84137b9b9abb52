"""Times the first replies of new clients: ``python -m benchmarks.programs.first_reply '{...}'``.

Prints the milliseconds from ``connect()`` to the first reply, a line for each client.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kafka_patterns import ClientKafkaProxy
from kafka_patterns.transport.kafka_python import transport

__all__ = ["main"]

IMPORTED = transport
"""What the first ``connect()`` of a process imports."""

_TIMEOUT = 10.0


def main(options: dict[str, Any], pattern: str, clients: int) -> None:
    """Connect *clients* clients, one after the other."""
    for number in range(clients):
        client = ClientKafkaProxy(options)
        client.subscribe_to_response_of(pattern)
        began = time.perf_counter()
        with client:
            reply = client.send(pattern, {"number": number}, timeout=_TIMEOUT)
            ended = time.perf_counter()
        assert reply == {"number": number}
        print((ended - began) * 1000, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
