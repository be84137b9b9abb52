"""A server that is killed: what it was working on is done after it, nothing is missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kafka_patterns import Message
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

PATIENCE = 60.0


def options(peers: Any, **sections: Any) -> dict[str, Any]:
    return peers.options(run={"workers": 4, "max_in_flight": 100}, **sections)


def start(start_python: Any, given: dict[str, Any], name: str) -> Any:
    program = "tests.integration.programs.note_events"
    process = start_python("-m", program, json.dumps(given), name=name)
    process.wait_for_line("reading", PATIENCE)
    return process


def handled(notes: Path) -> list[str]:
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


def test_killed_in_the_middle_of_a_thousand_events_it_handles_each_at_least_once(
    peers, start_python, tmp_path
):
    topic = peers.topic(partitions=3)
    given = {
        "options": options(peers, subscribe={"from_beginning": True}),
        "topic": topic,
        "notes": str(tmp_path / "notes"),
        "seconds": 0.002,
    }
    events = [f"event-{number}" for number in range(1000)]
    with peers.client() as client:
        client.emit_batch(topic, [Message(key=event[-1], value=event) for event in events])

    first = start(start_python, given, "first")
    eventually(lambda: len(handled(tmp_path / "notes")) > 300, PATIENCE)
    first.kill()
    before = handled(tmp_path / "notes")
    assert len(set(before)) < 1000
    start(start_python, given, "second")

    eventually(lambda: set(handled(tmp_path / "notes")) == set(events), PATIENCE)
    # At most what was in flight, and what finished within one interval of commits.
    again = len(handled(tmp_path / "notes")) - len(events)
    assert again <= 100 + 4 / 0.002 * 1.5


def test_member_that_takes_over_from_the_end_misses_nothing(peers, start_python, tmp_path):
    topic = peers.topic(partitions=2)
    given = {
        "options": options(peers),
        "topic": topic,
        "notes": str(tmp_path / "notes"),
        "seconds": 0.0,
    }
    client = peers.client()
    client.emit_batch(topic, ["too early"] * 4)

    first = start(start_python, given, "first")
    first.kill()  # before it committed anything but where it began
    client.emit_batch(topic, [f"event-{number}" for number in range(20)])
    start(start_python, given, "second")

    eventually(
        lambda: set(handled(tmp_path / "notes")) == {f"event-{number}" for number in range(20)},
        PATIENCE,
    )
