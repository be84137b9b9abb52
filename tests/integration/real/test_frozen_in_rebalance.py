"""A server that is frozen amid a rebalance, and thaws when its group went on without it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_patterns import KafkaContext, ServerKafka, TopicPartition
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

TUNING = {"session_timeout_ms": 3000, "heartbeat_interval_ms": 300}
EVENTS = 600
LAST = 2


@pytest.fixture
def start_noting(peers: Peers, start_python, tmp_path: Path) -> Callable[[str], ManagedProcess]:
    """Starts a server that notes its events, slowly, in a process of its own."""

    def start(topic: str) -> ManagedProcess:
        given = {
            "options": peers.options(consumer=TUNING),
            "topic": topic,
            "notes": str(tmp_path / "notes"),
            "pace": 0.02,
            "logs": True,
        }
        process: ManagedProcess = start_python(
            "-m", "tests.integration.programs.serve", json.dumps(given), name="frozen"
        )
        process.wait_for_line("^status connected$", 2 * PATIENCE)
        return process

    return start


def has(server: ServerKafka, topic: str, *partitions: int) -> bool:
    wanted = {TopicPartition(topic, partition) for partition in partitions}
    return set(server.health().assignment) == wanted


def test_what_others_handled_while_a_join_was_frozen_does_not_run_again(
    peers: Peers,
    wire: Wire,
    start_noting: Callable[[str], ManagedProcess],
    tmp_path: Path,
    gate: threading.Event,
):
    topic = peers.topic(partitions=3)
    seen: list[tuple[int, int]] = []

    def note(event: str, context: KafkaContext) -> None:
        if event == "hold":
            assert gate.wait(PATIENCE)
        seen.append((context.partition, context.message.offset))

    def noted() -> list[tuple[int, int]]:
        *lines, _unfinished = (tmp_path / "notes").read_text(encoding="utf-8").split("\n")
        parts = [line.split(" ") for line in lines]
        return [(int(partition), int(offset)) for partition, offset, _ in parts]

    patient = {"session_timeout_ms": 30_000, "heartbeat_interval_ms": 300}
    run = {"rebalance_timeout_ms": 14_000}
    steady, guest = (peers.server(consumer=patient, run=run) for _ in range(2))
    for server in (steady, guest):
        server.event_pattern(topic)(note)
    with steady:
        # Given that the one to be frozen is no leader, and has the last partition with a backlog.
        frozen = start_noting(topic)
        eventually(lambda: has(steady, topic, 0, 1), PATIENCE)
        wire.produce(topic, b"hold", partition=0)
        for number in range(EVENTS):
            wire.produce(topic, b"%d" % number, partition=LAST)
        eventually(lambda: (tmp_path / "notes").exists() and noted(), PATIENCE)
        joins = frozen.output.count("joining group")

        # When it has joined, and waits for the leader, which waits for its handler.
        joining = threading.Thread(target=guest.start)
        joining.start()
        eventually(lambda: frozen.output.count("joining group") > joins, PATIENCE)
        frozen.pause()
        gate.set()
        joining.join(PATIENCE)
        through = {0: 1, LAST: EVENTS}
        eventually(
            lambda: (
                {p: o for p, o in wire.committed(steady.group_id, topic).items() if o} == through
            ),
            2 * PATIENCE,
        )
        before = noted()
        guest.stop()
        eventually(lambda: has(steady, topic, 0, 1, 2), PATIENCE)
        frozen.resume()
        eventually(lambda: has(steady, topic, 0, 1), PATIENCE)
        wire.produce(topic, b"last", partition=LAST)
        eventually(lambda: (LAST, EVENTS) in noted(), PATIENCE)

        assert wire.committed(steady.group_id, topic)[LAST] >= EVENTS
        frozen.terminate()
        assert frozen.wait(PATIENCE) == 0
        after = noted()[len(before) :]

    assert after == [(LAST, EVENTS)]
    assert sorted(before + [one for one in seen if one[0] == LAST]) == [
        (LAST, number) for number in range(EVENTS)
    ]
