"""A client whose threads ask without an end until SIGTERM, and then tell what came of it."""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy
from tests.reliability.programs import arguments
from tests.reliability.tally import Answer, Tally

# What it tells goes through logging, so that no two lines of its threads mix.
logger = logging.getLogger("client")

_TOLD_EVERY = 10


@attrs.frozen
class Questions:
    """How one client asks.

    :param timeout: seconds of each request.
    :param longest_ms: milliseconds that the server is asked to take at most.
    :param pause: seconds between two requests of a thread, on the average.
    """

    client: ClientKafkaProxy
    pattern: str
    timeout: float
    longest_ms: int
    pause: float

    def ask(self, name: str, stopped: threading.Event) -> Tally:
        """Ask one question after the other; each must get its own answer."""
        tally = Tally()
        number = 0
        while not stopped.wait(random.uniform(0, 2 * self.pause)):
            number += 1
            before = tally.replied
            self._ask({"id": f"{name}-{number}", "ms": random.randint(0, self.longest_ms)}, tally)
            if tally.replied > before and tally.replied % _TOLD_EVERY == 0:
                logger.warning("replied %d to %s", tally.replied, name)
        return tally

    def _ask(self, question: dict[str, Any], tally: Tally) -> None:
        began = time.monotonic()
        outcome: Answer | Exception
        try:
            outcome = self.client.send(self.pattern, question, timeout=self.timeout, returns=Answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the tally
            outcome = error
        took = time.monotonic() - began
        tally.note(question["id"], outcome, took=took, timeout=self.timeout)


def main(name: str, options: dict[str, Any], pattern: str, threads: int, **asking: Any) -> None:
    """Ask until SIGTERM."""
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(pattern)
    questions = Questions(client, pattern, **asking)
    names = [f"{name}-{number}" for number in range(threads)]
    total = Tally()
    with client, ThreadPoolExecutor(threads) as executor:
        logger.warning("asking")
        for tally in executor.map(questions.ask, names, [stopped] * threads):
            total.add(tally)
    logger.warning("tally %s", json.dumps(total.to_json()))


if __name__ == "__main__":
    main(**arguments())
