"""A server of events, requests and streams that notes all it does."""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from kafka_patterns import (
    DeadLetter,
    KafkaContext,
    KafkaStatus,
    Retry,
    ServerKafka,
    TopicPartition,
    fixed,
)
from tests.chaos.clock import shift_clock
from tests.chaos.commands import follow_commands
from tests.chaos.notes import NotesWriter
from tests.reliability.journal import JournalWriter
from tests.reliability.programs import arguments

logger = logging.getLogger("server")

_LONGEST_SECONDS = 0.05
_BACKOFF_SECONDS = 0.05
_COMMITTED_SECONDS = 5.0


@attrs.frozen
class Job:
    """What an event holds.

    :param fails: whether it fails at its first try in each process.
    """

    sequence: int
    fails: bool = False


class ToldToFail(Exception):
    """A record said so."""


@attrs.frozen
class Handlers:
    """What this server does with its messages."""

    journal: JournalWriter
    failed: set[tuple[str, str, int]] = attrs.field(factory=set)

    def handle(self, job: Job, context: KafkaContext) -> None:
        """Work on an event."""
        self.journal.started(context, job.sequence)
        time.sleep(random.uniform(0, _LONGEST_SECONDS))
        place = (context.topic, str(context.message.key), job.sequence)
        if job.fails and place not in self.failed:
            self.failed.add(place)
            self.journal.failed(context, job.sequence)
            raise ToldToFail(f"record {place}")
        self.journal.finished(context, job.sequence)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a request."""
        time.sleep(random.uniform(0, _LONGEST_SECONDS))
        return {"id": question["id"], "number": 0}

    def tell(self, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Answer a request with several replies."""
        for number in range(question["items"]):
            yield {"id": question["id"], "number": number}


def main(
    name: str,
    options: dict[str, Any],
    folder: str,
    events: Sequence[str],
    requests: str,
    streams: str,
) -> None:
    """Serve until a signal comes."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s"
    )
    logging.getLogger("kafka_patterns").setLevel(logging.INFO)
    notes = NotesWriter(Path(folder))
    handlers = Handlers(JournalWriter(Path(folder)))
    server = ServerKafka(options)

    def tell_status(status: KafkaStatus) -> None:
        notes.write("status", str(status))
        logger.warning("status %s", status)

    server.status.subscribe(tell_status)
    for topic in events:
        add_event_handler(server, topic, handlers)

    @server.message_pattern(requests)
    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return handlers.answer(question)

    @server.message_pattern(streams)
    def tell(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from handlers.tell(question)

    def obey(what: str, *told: Any) -> None:
        if what == "clock":
            shift_clock(*told)
        elif what == "seek":
            seek(server, notes, *told)

    follow_commands(Path(folder), name, obey)
    server.run()
    logger.warning("drained")


def add_event_handler(server: ServerKafka, topic: str, handlers: Handlers) -> None:
    """Handle the events of *topic*; only what cannot be read is given up."""
    patiently = Retry(max_attempts=None, backoff=fixed(_BACKOFF_SECONDS))

    @server.event_pattern(topic, retry=patiently, dead_letter=DeadLetter())
    def handle(job: Job, context: KafkaContext) -> None:
        handlers.handle(job, context)


def seek(server: ServerKafka, notes: NotesWriter, topic: str, back: int) -> None:
    """Read a partition of *topic*, if one is assigned, again from *back* before its commit on."""
    for partition in sorted(server.health().assignment):
        if partition.topic == topic:
            began = time.monotonic()
            try:
                place = _before_commit(server, partition, back)
                server.consumer.seek(partition, place)
            except Exception as error:  # noqa: BLE001 - a fault may be under way; it is noted
                logger.warning("no seek: %r", error)
            else:
                notes.write("seek", partition.topic, partition.partition, place, began)
            return


def _before_commit(server: ServerKafka, partition: TopicPartition, back: int) -> int:
    committed = server.consumer.committed([partition], _COMMITTED_SECONDS)[partition]
    return max(0, (committed or 0) - back)


if __name__ == "__main__":
    threading.current_thread().name = "main"
    main(**arguments())
