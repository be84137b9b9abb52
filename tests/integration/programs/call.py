"""A client that asks an echo server without a pause, in several threads, until SIGTERM."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy
from tests.integration.programs import arguments, tell

TIMEOUT = 20.0
LONGEST_MS = 50
TOLD_EVERY = 100


@attrs.define
class Tally:
    """What became of the requests of one thread."""

    answered: int = 0
    failures: list[str] = attrs.Factory(list)
    partitions: set[int] = attrs.Factory(set)
    longest: float = 0.0

    def add(self, other: Tally) -> None:
        """Count those of another thread as well."""
        self.answered += other.answered
        self.failures += other.failures
        self.partitions |= other.partitions
        self.longest = max(self.longest, other.longest)


def main(name: str, options: dict[str, Any], pattern: str, threads: int) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(pattern)
    total = Tally()
    with client, ThreadPoolExecutor(threads) as executor:
        tell("calling")
        tallies = executor.map(
            lambda number: call(client, pattern, f"{name}-{number}", stopped), range(threads)
        )
        for tally in tallies:
            total.add(tally)
    tell("tally", json.dumps(attrs.asdict(total), default=sorted))


def call(client: ClientKafkaProxy, pattern: str, name: str, stopped: threading.Event) -> Tally:
    """Ask one question after the other; each must get its own answer."""
    tally = Tally()
    number = 0
    while not stopped.is_set():
        number += 1
        question = {"id": f"{name}-{number}", "ms": random.randint(0, LONGEST_MS)}
        started = time.monotonic()
        try:
            answer = client.send(pattern, question, timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the tally
            tally.failures.append(f"{question['id']}: {error!r}")
            continue
        tally.longest = max(tally.longest, time.monotonic() - started)
        if answer["id"] == question["id"]:
            tally.answered += 1
            tally.partitions.add(answer["partition"])
        else:
            tally.failures.append(f"{question['id']} got the answer to {answer['id']}")
        if number % TOLD_EVERY == 0:
            tell("asked", name, number)
    return tally


if __name__ == "__main__":
    main(**arguments())
