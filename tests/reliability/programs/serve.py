"""A worker: notes what it starts and finishes, and takes its time in between."""

from __future__ import annotations

import json
import logging
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs

from kafka_patterns import DeadLetter, KafkaContext, Retry, ServerKafka, fixed
from tests.reliability.journal import JournalWriter
from tests.reliability.programs import arguments
from tests.support.waiting import eventually

# What it tells goes through logging, so that no two lines of its threads mix.
logger = logging.getLogger("worker")

_GATE_SECONDS = 600.0
_TELL_SECONDS = 0.1


@attrs.frozen
class Job:
    """What a record holds.

    :param reply_bytes: how long the reply is to be.
    :param fails: ``once`` in each process, or ``always``.
    """

    sequence: int
    padding: str = ""
    reply_bytes: int = 0
    fails: str = ""


class ToldToFail(Exception):
    """A record said so."""


def main(
    options: dict[str, Any],
    topic: str,
    journal: str,
    seconds: tuple[float, float] = (0.0, 0.0),
    gate: str | None = None,
    *,
    replies: bool = False,
    count_health: bool = False,
    dead_letters: bool = False,
) -> None:
    """Serve until a signal comes.

    :param seconds: the shortest and the longest time a handler takes.
    :param gate: a file that handlers wait for.
    :param replies: whether the records are requests.
    :param dead_letters: whether what fails three times becomes a dead letter.
    :param count_health: whether the counters are told all the time.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    logging.getLogger("kafka_patterns").setLevel(logging.INFO)
    writer = JournalWriter(Path(journal))
    server = ServerKafka(options)
    server.status.subscribe(lambda status: logger.warning("status %s", status))

    def handle(job: Job, context: KafkaContext) -> dict[str, Any]:
        writer.started(context, job.sequence)
        time.sleep(random.uniform(*seconds))
        if gate is not None:
            eventually(lambda: Path(gate).exists(), _GATE_SECONDS)
        if job.fails == "always" or (job.fails == "once" and context.attempt == 1):
            raise ToldToFail(f"record {job.sequence}")
        writer.finished(context, job.sequence)
        return {"sequence": job.sequence, "text": "x" * job.reply_bytes}

    if dead_letters:
        retry = Retry(max_attempts=3, backoff=fixed(0.01))
        server.event_pattern(topic, retry=retry, dead_letter=DeadLetter())(handle)
    else:
        (server.message_pattern if replies else server.event_pattern)(topic)(handle)
    if count_health:
        threading.Thread(target=tell_counters, args=(server,), daemon=True).start()
    server.run()
    logger.warning("drained")


def tell_counters(server: ServerKafka) -> None:
    """Tell the counters whenever they changed."""
    told: Any = None
    while True:
        time.sleep(_TELL_SECONDS)
        counters = server.health().counters
        if counters != told:
            logger.warning("counters %s", json.dumps(counters))
            told = counters


if __name__ == "__main__":
    main(**arguments())
