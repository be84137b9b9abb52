"""SIGKILL at any moment loses no event."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest
from kafka import KafkaAdminClient

from kafka_patterns import Message
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

EVENTS = 1000
PARTITIONS = 4
# What is to be killed handles events slowly enough to be killed in the middle.
PACE = 0.02
COMMIT_INTERVAL_MS = 100
# The interval, and what an answer to a commit may take on a busy machine.
UNCOMMITTED_SECONDS = 1.5


class Note(NamedTuple):
    """What a server's process wrote down of one event."""

    partition: int
    offset: int
    event: str


class Server:
    """A server that notes every event in a file, in a process of its own."""

    def __init__(
        self, peers: Peers, start_python, topic: str, notes: Path, *, pace=0.0, **sections
    ) -> None:
        tuning = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 300}
        run = {"auto_commit_interval_ms": COMMIT_INTERVAL_MS, "rebalance_timeout_ms": 500}
        given = {
            "options": peers.options(consumer=tuning, run=run, **sections),
            "topic": topic,
            "notes": str(notes),
            "pace": pace,
        }
        self._notes = notes
        self.process: ManagedProcess = start_python(
            "-m", "tests.integration.programs.serve", json.dumps(given), name=notes.name
        )
        self.process.wait_for_line("^status connected$", 2 * PATIENCE)

    @property
    def notes(self) -> list[Note]:
        """What it has noted so far; what it was killed over is left out."""
        if not self._notes.exists():
            return []
        *lines, _unfinished = self._notes.read_text(encoding="utf-8").split("\n")
        parts = [line.split(" ") for line in lines]
        return [Note(int(partition), int(offset), event) for partition, offset, event in parts]

    def wait_for_notes(self, count: int) -> None:
        """Wait until it has noted so many events."""
        eventually(lambda: len(self.notes) >= count, 2 * PATIENCE)


def emit_all(peers: Peers, topic: str) -> set[str]:
    """Emit the events, evenly over the partitions; returns them."""
    events = [f"event-{number}" for number in range(EVENTS)]
    with peers.client() as client:
        client.emit_batch(
            topic,
            [Message(value=e, partition=n % PARTITIONS) for n, e in enumerate(events)],
        )
    return set(events)


def wait_until_empty(peers: Peers, group_id: str) -> None:
    """Wait until the group has no member left."""
    admin = KafkaAdminClient(bootstrap_servers=peers.broker.bootstrap_servers)
    with contextlib.closing(admin):
        eventually(
            lambda: [g.state for g in admin.describe_consumer_groups([group_id])] == ["Empty"],
            PATIENCE,
        )


def events_of(*servers: Server) -> set[str]:
    return {note.event for server in servers for note in server.notes}


def test_killed_server_handles_every_event_at_least_once(
    peers: Peers, wire: Wire, start_python, tmp_path
):
    topic = peers.topic(partitions=PARTITIONS)
    killed = Server(peers, start_python, topic, tmp_path / "killed", pace=PACE)
    events = emit_all(peers, topic)
    killed.wait_for_notes(EVENTS // 2)

    killed.process.kill()
    noted = len(killed.notes)
    assert noted < EVENTS
    # A commit that the broker had not read when its sender died counts as well.
    wait_until_empty(peers, f"{peers.group}-server")
    committed = wire.committed(f"{peers.group}-server", topic)
    started_again = Server(peers, start_python, topic, tmp_path / "started again")
    eventually(lambda: events_of(killed, started_again) == events, 2 * PATIENCE)

    # It goes on at what was committed, no earlier and no later.
    first: dict[int, int] = defaultdict(lambda: EVENTS)
    for note in started_again.notes:
        first[note.partition] = min(first[note.partition], note.offset)
    assert dict(first) == committed
    ends = dict.fromkeys(range(PARTITIONS), EVENTS // PARTITIONS)
    eventually(lambda: wire.committed(f"{peers.group}-server", topic) == ends, PATIENCE)
    # Of what was handled, only the work of the last moments was not committed yet.
    assert noted - sum(committed.values()) <= PARTITIONS * UNCOMMITTED_SECONDS / PACE


def test_member_takes_over_from_a_killed_one_and_misses_nothing(
    peers: Peers, start_python, tmp_path
):
    topic = peers.topic(partitions=PARTITIONS)
    killed = Server(peers, start_python, topic, tmp_path / "killed", pace=PACE)
    taking_over = Server(peers, start_python, topic, tmp_path / "taking over")
    events = emit_all(peers, topic)
    killed.wait_for_notes(EVENTS // 10)
    taking_over.wait_for_notes(EVENTS // 10)

    killed.process.kill()

    eventually(lambda: events_of(killed, taking_over) == events, 2 * PATIENCE)
    assert len(killed.notes) < EVENTS // 2
    assert {note.partition for note in taking_over.notes} == set(range(PARTITIONS))


@pytest.mark.parametrize("when", ["before any event", "after an event of another partition"])
def test_member_of_a_group_that_began_at_the_end_misses_nothing(
    peers: Peers, wire: Wire, start_python, tmp_path, when
):
    topic = peers.topic(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        wire.produce(topic, b"older-than-the-group", partition=partition)
    subscribe = {"from_beginning": False}
    killed = Server(peers, start_python, topic, tmp_path / "killed", pace=PACE, subscribe=subscribe)
    if when != "before any event":
        wire.produce(topic, b"first", partition=0)
        killed.wait_for_notes(1)

    killed.process.kill()
    events = emit_all(peers, topic)
    taking_over = Server(peers, start_python, topic, tmp_path / "taking over", subscribe=subscribe)

    eventually(lambda: events <= events_of(taking_over), 2 * PATIENCE)
    assert events_of(taking_over) <= events | {"first"}
    wanted = dict.fromkeys(range(PARTITIONS), 1 + EVENTS // PARTITIONS)
    if when != "before any event":
        wanted[0] += 1
    eventually(lambda: wire.committed(f"{peers.group}-server", topic) == wanted, PATIENCE)
