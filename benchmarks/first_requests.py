"""What the first request of each pattern costs, beside the second one.

A server and a client of many patterns, each a process of its own; both must learn where the
topics are. The second round over the same patterns shows what a request takes anyway.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.service import run_program
from tests.support.kafka_server import KafkaServer
from tests.support.processes import python_process

__all__ = ["main"]

_START_SECONDS = 60.0
_LIMIT_MS = 20.0
"""How many milliseconds the first request may take longer than the second, on average."""


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if the limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_requests")
    parser.add_argument("--patterns", type=int, default=100)
    patterns = [f"first.{number}" for number in range(parser.parse_args().patterns)]
    with KafkaServer() as broker:
        for topic in [*patterns, "stranger"]:
            broker.create_topic(topic, 1)
            broker.create_topic(f"{topic}.reply", 1)
        first, second = measure(broker.bootstrap_servers, patterns)
    print(f"{len(patterns)} patterns, milliseconds a request, on average")
    print(f"first round  {first:7.1f}")
    print(f"second round {second:7.1f}")
    return int(first - second > _LIMIT_MS)


def measure(brokers: list[str], patterns: list[str]) -> list[float]:
    """Milliseconds of a request, in the first and in the second round."""
    options = {
        "client": {"client_id": "first", "brokers": brokers},
        "consumer": {"group_id": "first"},
        "reply": {"mode": "direct"},
    }
    plan = {"options": options, "patterns": patterns, "stranger": "stranger"}
    arguments = json.dumps({"role": "server", **plan})
    with python_process(
        "-m", "benchmarks.programs.first_requests", arguments, name="server"
    ) as server:
        server.wait_for_line("^status connected", _START_SECONDS)
        with run_program("first_requests", role="client", **plan) as client:
            return [float(line) for line in client.lines]


if __name__ == "__main__":
    sys.exit(main())
