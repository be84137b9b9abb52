"""Bounds on what runs at once, and on what a restart repeats."""

from __future__ import annotations

import logging
import threading

import pytest

from kafka_patterns import Acknowledgement, Batch, KafkaContext, KafkaStatus, Message, ServerKafka
from tests.integration.peers import PATIENCE, collect_events
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


def test_max_concurrency_of_a_handler_counts_for_all_its_topics(peers, wire, gate):
    topics = [peers.topic("one"), peers.topic("two")]
    other = peers.topic("other")
    server = peers.server(run={"workers": 8})
    running: list[str] = []
    passed: list[object] = []

    @server.event_pattern(topics, max_concurrency=1)
    def slow(event):
        running.append(event)
        assert gate.wait(PATIENCE)
        running.remove(event)
        passed.append((event, len(running)))

    @server.event_pattern(other)
    def collect(event):
        passed.append(event)

    with server:
        for topic in topics:
            wire.produce(topic, b"slow")
        eventually(lambda: server.health().in_flight == 2, PATIENCE)
        # Whoever could run a second one runs this.
        wire.produce(other, b"x")
        eventually(lambda: passed == ["x"], PATIENCE)
        assert running == ["slow"]
        gate.set()
        eventually(lambda: len(passed) == 3, PATIENCE)

    assert passed == ["x", ("slow", 0), ("slow", 0)]


def test_what_waited_for_its_turn_at_the_stop_does_not_run_in_the_next_start(peers, wire, gate):
    topic = peers.topic()
    server = peers.server(run={"workers": 4})
    seen: list[str] = []

    @server.event_pattern(topic, ordering="unordered", max_concurrency=1)
    def slow(event):
        seen.append(event)
        assert gate.wait(PATIENCE)

    server.start()
    for number in range(4):
        wire.produce(topic, b"%d" % number)
    eventually(lambda: seen and server.health().in_flight == 4, PATIENCE)
    assert not server.stop(timeout=1)
    gate.set()
    assert len(seen) == 1

    with server:
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4}, PATIENCE)
        wire.produce(topic, b"last")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 5}, PATIENCE)
    assert sorted(seen[1:]) == ["0", "1", "2", "3", "last"]


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

    def busy():
        health = server.health()
        shown = (health.running, health.held_lanes, health.in_flight)
        return health if shown == (1, 1, 3) else None

    assert server.health().status is None
    with server:
        wire.produce(topic, b"bad", partition=0)
        wire.produce(topic, b"slow", partition=1)
        wire.produce(topic, b"queued", partition=1)
        health = eventually(busy)
        gate.set()

    assert health.alive
    assert health.status is KafkaStatus.CONNECTED
    assert health.running == 1
    assert health.oldest_handler is not None
    assert (health.oldest_handler.topic, health.oldest_handler.offset) == (topic, 0)
    assert {tp.partition: lag for tp, lag in health.assignment.items()} == {0: 1, 1: 2}
    assert health.seconds_since_poll < PATIENCE
    assert health.counters["failed"] == 1


def test_health_tells_of_a_server_that_stopped(peers):
    topic = peers.topic()
    server = peers.server()
    collect_events(server, topic)
    assert server.health().status is None

    with server:
        # An empty partition has no backlog, as soon as its end is known.
        eventually(lambda: list(server.health().assignment.values()) == [0], PATIENCE)
    health = server.health()

    assert health.status is KafkaStatus.STOPPED
    assert not health.alive
    assert health.assignment == {}
    assert health.last_error is None


def defer_all(server: ServerKafka, topic: str) -> list[Acknowledgement]:
    acknowledgements: list[Acknowledgement] = []

    @server.event_pattern(topic, ordering="unordered")
    def defer(event, context: KafkaContext):
        acknowledgements.append(context.defer())

    return acknowledgements


def test_health_shows_the_oldest_of_what_others_finish_later(peers, wire):
    topic = peers.topic()
    server = peers.server()
    acknowledgements = defer_all(server, topic)

    with server:
        wire.produce(topic, b"x")
        eventually(lambda: len(acknowledgements) == 1, PATIENCE)
        wire.produce(topic, b"x")
        eventually(lambda: len(acknowledgements) == 2, PATIENCE)
        oldest = eventually(lambda: server.health().oldest_handler, PATIENCE)
        assert (oldest.topic, oldest.partition, oldest.offset) == (topic, 0, 0)
        assert server.health().running == 2
        for acknowledgement in acknowledgements:
            acknowledgement.done()
        eventually(lambda: server.health().oldest_handler is None, PATIENCE)


def test_slow_end_of_a_deferred_message_is_logged_without_a_stack(peers, wire, caplog):
    topic = peers.topic()
    server = peers.server(run={"slow_handler_warning_ms": 50})
    acknowledgements = defer_all(server, topic)

    def warnings():
        return [r.getMessage() for r in caplog.records if "not acknowledged" in r.getMessage()]

    with caplog.at_level(logging.WARNING), server:
        wire.produce(topic, b"x")
        eventually(warnings, PATIENCE)
        acknowledgements[0].done()

    assert len(warnings()) == 1
    assert f"{topic}[0] offset 0 was deferred and is not acknowledged" in warnings()[0]


@pytest.mark.parametrize("batch", [None, Batch(max_size=1)])
def test_health_says_why_a_message_is_held_until_it_is_handled(peers, wire, batch):
    topic = peers.topic()
    server = peers.server()
    mended = threading.Event()

    @server.event_pattern(topic, batch=batch)
    def entered(event):
        if not mended.is_set():
            raise ValueError("the database is away")

    with server:
        wire.produce(topic, b"x")
        eventually(
            lambda: server.health().last_error == "ValueError: the database is away", PATIENCE
        )
        mended.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
        assert server.health().last_error is None


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


def test_no_more_is_held_than_allowed_when_partitions_come(peers, wire, gate):
    topic = peers.topic(partitions=4)
    tight = {"max_in_flight": 40, "workers": 2, "rebalance_timeout_ms": 100}
    first, second = (peers.server(run=tight) for _ in range(2))
    seen: set[str] = set()

    def wait(event: str) -> None:
        assert gate.wait(PATIENCE)
        seen.add(event)

    for server in (first, second):
        server.event_pattern(topic)(wait)
    events = [Message(value=f"event-{n}", partition=n % 4) for n in range(400)]
    with first:
        with second:
            eventually(lambda: len(first.health().assignment) == 2, PATIENCE)
            with peers.client() as client:
                client.emit_batch(topic, events)
            eventually(lambda: first.health().in_flight == 40, PATIENCE)
            second.stop(0.2)
        eventually(lambda: len(first.health().assignment) == 4, PATIENCE)
        # Those that came may take one each, though there is no room: they are not starved.
        eventually(lambda: first.health().in_flight == 42, PATIENCE)
        gate.set()
        eventually(lambda: len(seen) == len(events), PATIENCE)


def test_bytes_that_are_held_are_bounded_for_all_partitions_together(peers, wire, gate):
    topic = peers.topic(partitions=4)
    size = 10_000
    server = peers.server(run={"max_in_flight_bytes": 80 * size, "workers": 2})
    seen: list[str] = []

    @server.event_pattern(topic)
    def wait(event):
        assert gate.wait(PATIENCE)
        seen.append(event)

    with server, peers.client() as client:
        client.emit_batch(topic, [Message(value="x" * size, partition=n % 4) for n in range(200)])
        # Half of so small a bound is for what is fetched and waits for room.
        eventually(lambda: server.health().in_flight == 40, PATIENCE)
        gate.set()
        eventually(lambda: len(seen) == 200, PATIENCE)
