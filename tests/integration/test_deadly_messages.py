"""A message that ends its process is given up in the end, and no other for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ATTEMPTS = 3
SURVIVORS = [f"event {number}" for number in range(8)]


@pytest.mark.parametrize("ordering", ["partition", "unordered"])
def test_event_that_kills_its_process_becomes_a_dead_letter_and_the_others_are_handled(
    peers: Peers,
    wire: Wire,
    start_python: Callable[..., ManagedProcess],
    tmp_path: Path,
    ordering: str,
):
    topic = peers.topic()
    letters = peers.broker.create_topic(f"{topic}-dlt", 1)
    notes = tmp_path / "notes"
    for event in [*SURVIVORS[:4], "kill", *SURVIVORS[4:]]:
        wire.produce(topic, event.encode())
    given = json.dumps(
        {
            "options": peers.options(subscribe={"from_beginning": True}),
            "topic": topic,
            "notes": str(notes),
            "attempts": ATTEMPTS,
            "ordering": ordering,
        }
    )

    def is_given_up() -> bool:
        return bool(wire.records(letters))

    def has_done_what_it_can(process: ManagedProcess) -> bool:
        return is_given_up() or not process.is_running

    attempts: list[int] = []
    while not is_given_up():
        assert len(attempts) < ATTEMPTS + 3, attempts
        process = start_python("-m", "tests.integration.programs.die", given)
        eventually(partial(has_done_what_it_can, process), PATIENCE)
        attempts += [int(line.split()[1]) for line in process.lines if line.startswith("attempt")]

    def handled() -> set[str]:
        return set(notes.read_text(encoding="utf-8").splitlines())

    eventually(lambda: handled() == set(SURVIVORS), PATIENCE)
    # The first end, or with others beside it the first two, say nothing of who caused it.
    assert attempts[-ATTEMPTS:] == [1, 2, 3]
    (letter,) = wire.records(letters)
    assert letter.value == b"kill"
    assert letter.header("kafka_dlt-exception-fqcn") == b"kafka_patterns.errors.HandlerLost"
