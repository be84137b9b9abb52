"""A client whose threads ask without an end until SIGTERM, and note how each request ended."""

from __future__ import annotations

import itertools
import logging
import os
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy, KafkaPatternsError, KafkaStatus, RequestTimeout
from tests.chaos.checker.requests import REFUSED, REPLIED, TIMED_OUT
from tests.chaos.clock import shift_clock
from tests.chaos.commands import follow_commands
from tests.chaos.notes import NotesWriter
from tests.reliability.programs import arguments

logger = logging.getLogger("client")

_ITEMS = 5


@attrs.frozen
class Asking:
    """How this client asks.

    :param timeout: seconds of each request.
    :param pause: seconds between two requests of a thread, on the average.
    """

    client: ClientKafkaProxy
    notes: NotesWriter
    requests: str
    streams: str
    timeout: float
    pause: float

    def ask(self, name: str, stopped: threading.Event) -> None:
        """Ask one thing after the other until *stopped*; every third is a stream."""
        for number in itertools.count(1):
            if stopped.wait(random.uniform(0, 2 * self.pause)):
                return
            items = 1 if number % 3 else _ITEMS
            self._ask_one(f"{name}-{number}", items)

    def _ask_one(self, request: str, items: int) -> None:
        self.notes.write("asked", request, items, self.timeout)
        replies: list[int] = []
        try:
            outcome = self._collect(request, items, replies)
        except RequestTimeout:
            outcome = TIMED_OUT
        except KafkaPatternsError as error:
            outcome = REFUSED
            logger.warning("%s was refused: %r", request, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the checker must hear of it
            outcome = repr(error)
        self.notes.write("ended", request, outcome, replies)

    def _collect(self, request: str, items: int, replies: list[int]) -> str:
        question = {"id": request, "items": items}
        if items == 1:
            answers = iter([self.client.send(self.requests, question, timeout=self.timeout)])
        else:
            answers = iter(
                self.client.stream(
                    self.streams, question, timeout=self.timeout, total_timeout=self.timeout
                )
            )
        for answer in answers:
            if answer["id"] != request:
                return f"got the answer to {answer['id']}"
            replies.append(answer["number"])
        return REPLIED


def main(
    name: str,
    options: dict[str, Any],
    folder: str,
    requests: str,
    streams: str,
    threads: int,
    timeout: float,
    pause: float,
) -> None:
    """Ask until SIGTERM."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s"
    )
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    notes = NotesWriter(Path(folder))
    client = ClientKafkaProxy(options)

    def tell_status(status: KafkaStatus) -> None:
        notes.write("status", str(status))
        logger.warning("status %s", status)

    client.status.subscribe(tell_status)
    client.subscribe_to_response_of(requests)
    client.subscribe_to_response_of(streams)
    follow_commands(Path(folder), name, lambda _what, seconds: shift_clock(seconds))
    asking = Asking(client, notes, requests, streams, timeout, pause)
    # No process before this one gave the same names.
    names = [f"{name}-{os.getpid()}-{number}" for number in range(threads)]
    connect(client, stopped)
    try:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(asking.ask, names, [stopped] * threads))
    finally:
        client.close()
    logger.warning("closed")


def connect(client: ClientKafkaProxy, stopped: threading.Event) -> None:
    """Connect, however often it takes."""
    while not stopped.is_set():
        try:
            client.connect()
        except KafkaPatternsError as error:
            logger.warning("not connected: %r", error)
        else:
            return


if __name__ == "__main__":
    main(**arguments())
