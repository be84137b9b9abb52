"""A replay that is frozen past its session repeats nothing of what another run did meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient

from kafka_patterns import replay
from tests.integration.dead_letters import produce_dead_letter
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

LETTERS = 60
PROGRAM = """
import json, sys, threading
from kafka_patterns import ReplayFailed, replay

def where(letter):
    if letter.offset == int(sys.argv[3]):
        print("here", flush=True)
        threading.Event().wait(1)
    return True

try:
    report = replay(sys.argv[1], dry_run=False, options=json.loads(sys.argv[2]), where=where,
                    rate=float(sys.argv[4]))
except ReplayFailed as error:
    print("failed:", error.report.replayed, error, flush=True)
else:
    print("clean:", report.replayed, flush=True)
"""


@pytest.mark.parametrize(("at", "rate"), [(20, 1e9), (40, 30.0)])
def test_frozen_replay_repeats_nothing(
    peers: Peers, wire: Wire, start_python: Callable[..., ManagedProcess], at: int, rate: float
):
    topic, dead = peers.topic("orders"), peers.topic("orders-dlt")
    for number in range(LETTERS):
        produce_dead_letter(wire, dead, b"%d" % number, original_topic=topic)
    options = peers.options()
    first = start_python("-c", PROGRAM, dead, json.dumps(options), str(at), str(rate))
    first.wait_for_line("here", PATIENCE)

    first.pause()
    second = replay(dead, dry_run=False, options=options)
    first.resume()

    outcome = first.wait_for_line(r"(\w+): (\d+)", PATIENCE)
    assert outcome[1] == "failed", first.output
    assert "thrown out of the consumer group" in outcome.string
    found = Counter((record.value or b"").decode() for record in wire.records(topic))
    assert found == {str(number): 1 for number in range(LETTERS)}
    assert second.replayed == LETTERS - int(outcome[2])
    assert replay(dead, dry_run=False, options=options).read == 0


def test_frozen_replay_that_nobody_followed_is_gone_on_with(
    peers: Peers, wire: Wire, start_python: Callable[..., ManagedProcess]
):
    topic, dead = peers.topic("orders"), peers.topic("orders-dlt")
    for number in range(LETTERS):
        produce_dead_letter(wire, dead, b"%d" % number, original_topic=topic)
    options = peers.options()
    first = start_python("-c", PROGRAM, dead, json.dumps(options), "20", "30")
    first.wait_for_line("here", PATIENCE)

    first.pause()
    admin = KafkaAdminClient(bootstrap_servers=peers.broker.bootstrap_servers)
    try:
        group = [f"kafka_patterns-replay.{dead}"]
        eventually(
            lambda: [found.state for found in admin.describe_consumer_groups(group)] == ["Empty"],
            PATIENCE,
            describe="the end of the session",
        )
    finally:
        admin.close()
    first.resume()
    assert first.wait_for_line(r"(\w+): (\d+)", PATIENCE)[1] == "failed", first.output
    replay(dead, dry_run=False, options=options)

    found = Counter((record.value or b"").decode() for record in wire.records(topic))
    assert found == {str(number): 1 for number in range(LETTERS)}
