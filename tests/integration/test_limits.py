"""Bounds on what runs at once, and on what a restart repeats."""

from __future__ import annotations

import logging
import threading

from kafka_patterns import KafkaStatus
from tests.integration.peers import PATIENCE
from tests.support.waiting import eventually


def test_max_concurrency_bounds_one_pattern_and_leaves_workers_to_the_others(peers, wire, gate):
    narrow, wide = peers.topic("narrow"), peers.topic("wide")
    server = peers.server(run={"workers": 4})
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()
    passed = []

    @server.event_pattern(narrow, ordering="unordered", max_concurrency=2)
    def slow(event):
        with lock:
            running.append(1)
            most.append(len(running))
        assert gate.wait(PATIENCE)
        with lock:
            running.pop()

    @server.event_pattern(wide)
    def collect_passed(event):
        passed.append(event)

    with server:
        for _ in range(6):
            wire.produce(narrow, b"x")
        eventually(lambda: len(running) == 2)
        wire.produce(wide, b"x")
        eventually(lambda: passed == ["x"])
        gate.set()
        eventually(lambda: wire.committed(server.group_id, narrow) == {0: 6})

    assert max(most) == 2


def test_restart_repeats_the_slow_message_alone(peers, wire, gate):
    topic = peers.topic()
    first = peers.server()
    seen = []

    @first.event_pattern(topic, ordering="unordered")
    def entered(event):
        seen.append(event)
        if event == "slow":
            gate.wait(PATIENCE)

    with first:
        for value in (b"0", b"slow", b"2", b"3"):
            wire.produce(topic, value)
        eventually(lambda: sorted(seen) == ["0", "2", "3", "slow"])
        eventually(lambda: first.health().counters["handled"] == 3)
        assert not first.stop(timeout=1)
        gate.set()

    second = peers.server()
    again = []

    @second.event_pattern(topic)
    def collect_again(event):
        again.append(event)

    with second:
        wire.produce(topic, b"4")
        eventually(lambda: wire.committed(second.group_id, topic) == {0: 5})
    assert again == ["slow", "4"]


def test_health_shows_what_runs_what_is_held_and_what_lags(peers, wire, gate):
    topic = peers.topic(partitions=2)
    server = peers.server(run={"retry_backoff_ms": 30_000, "retry_backoff_max_ms": 30_000})

    @server.event_pattern(topic)
    def entered(event):
        if event == "bad":
            raise ValueError("bad")
        assert gate.wait(PATIENCE)

    assert server.health().status is None
    with server:
        wire.produce(topic, b"bad", partition=0)
        wire.produce(topic, b"slow", partition=1)
        wire.produce(topic, b"queued", partition=1)
        eventually(lambda: server.health().held_lanes == 1 and server.health().in_flight == 3)
        health = server.health()
        gate.set()

    assert health.alive
    assert health.status is KafkaStatus.CONNECTED
    assert health.running == 1
    assert health.oldest_handler is not None
    assert (health.oldest_handler.topic, health.oldest_handler.offset) == (topic, 0)
    assert {tp.partition: lag for tp, lag in health.assignment.items()} == {0: 1, 1: 2}
    assert health.seconds_since_poll < 5
    assert health.counters["failed"] == 1


def test_stack_of_a_slow_handler_is_logged_once(peers, wire, gate, caplog):
    topic = peers.topic()
    server = peers.server(run={"slow_handler_warning_ms": 50})

    @server.event_pattern(topic)
    def dawdle(event):
        assert gate.wait(PATIENCE)

    def warnings():
        return [r for r in caplog.records if "runs for more than" in r.getMessage()]

    with caplog.at_level(logging.WARNING), server:
        wire.produce(topic, b"x")
        eventually(warnings)
        eventually(lambda: server.health().oldest_handler.seconds > 0.5)
        gate.set()

    assert len(warnings()) == 1
    assert "in dawdle" in warnings()[0].getMessage()
