"""What fails is delivered again: after a backoff, uncommitted, holding up nobody else."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from kafka_patterns import (
    KafkaContext,
    KafkaRetriableException,
    Message,
    RpcException,
    TopicPartition,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import CORRELATION_ID, ERROR, IS_DISPOSED, Wire
from tests.support.waiting import eventually


def committed_by(context, partition):
    """The committed offset of *partition*, asked inside a handler."""
    partition = TopicPartition(context.topic, partition)
    return context.consumer.committed([partition])[partition]


@pytest.mark.parametrize("error", [KafkaRetriableException("again"), ValueError("unexpected")])
def test_event_whose_handler_fails_is_delivered_again_until_it_succeeds(
    peers: Peers, wire: Wire, error
):
    topic = peers.topic()
    server = peers.server()
    tries = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        tries.append((event, context.attempt, context.message.offset))
        if context.attempt < 4:
            raise error

    with server:
        wire.produce(topic, b'{"id":1}')
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert tries == [({"id": 1}, attempt, 0) for attempt in (1, 2, 3, 4)]


def test_offset_is_not_committed_meanwhile_and_other_partitions_go_on(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)
    server = peers.server()
    others, seen_committed, mended = [], [], threading.Event()

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        if context.partition == 1:
            others.append(event)
            return
        if not mended.is_set():
            seen_committed.append((context.attempt, committed_by(context, 0)))
            raise KafkaRetriableException("not yet")

    with server:
        wire.produce(topic, b"finished before", partition=1)
        wire.produce(topic, b"fails", partition=0)
        wire.produce(topic, b"waits behind it", partition=0)
        eventually(lambda: seen_committed)
        for number in range(20):
            wire.produce(topic, b"%d" % number, partition=1)
        # Partition 1 is handled and committed while partition 0 stands at its start.
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 0, 1: 21})
        tried = len(seen_committed)
        eventually(lambda: len(seen_committed) >= tried + 2)
        assert wire.committed(server.group_id, topic) == {0: 0, 1: 21}

        mended.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2, 1: 21})

    assert others == ["finished before", *(str(number) for number in range(20))]
    assert {offset for _, offset in seen_committed} == {0}
    assert [attempt for attempt, _ in seen_committed] == list(range(1, len(seen_committed) + 1))


def test_later_events_of_the_partition_wait_for_the_failing_one(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        seen.append(event)
        if event == "first" and context.attempt < 3:
            raise KafkaRetriableException("again")

    with server:
        wire.produce(topic, b"first")
        wire.produce(topic, b"second")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    assert seen == ["first", "first", "first", "second"]


def test_backoff_between_tries_grows(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"retry_backoff_ms": 100, "retry_backoff_max_ms": 400})
    tried_at = []

    @server.event_pattern(topic)
    def entered(event):
        tried_at.append(time.monotonic())
        if len(tried_at) < 5:
            raise KafkaRetriableException("again")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: len(tried_at) == 5)

    waits = [after - before for before, after in itertools.pairwise(tried_at)]
    # Each wait may be a fifth shorter or longer by chance, and later on a busy machine.
    for wait, least in zip(waits, [0.1, 0.2, 0.4, 0.4], strict=True):
        assert 0.8 * least <= wait < 0.8 * least + 10


def test_retry_runs_only_the_event_handlers_that_failed(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    calls = []

    @server.event_pattern(topic)
    def succeeds(event, context: KafkaContext):
        calls.append(("succeeds", context.attempt))

    @server.event_pattern(topic)
    def fails_once(event, context: KafkaContext):
        calls.append(("fails once", context.attempt))
        if context.attempt < 2:
            raise KafkaRetriableException("again")

    @server.event_pattern(topic)
    def fails_twice(event, context: KafkaContext):
        calls.append(("fails twice", context.attempt))
        if context.attempt < 3:
            raise ValueError("unexpected")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert calls == [
        ("succeeds", 1),
        ("fails once", 1),
        ("fails twice", 1),
        ("fails once", 2),
        ("fails twice", 2),
        ("fails twice", 3),
    ]


def test_retriable_request_is_delivered_again_and_answered_once(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern)
    def kill_dragon(payload, context: KafkaContext):
        attempts.append((context.attempt, committed_by(context, 0)))
        if context.attempt < 3:
            raise KafkaRetriableException("the dragon hides")
        return "killed"

    with server, peers.client(pattern) as client:
        assert client.send(pattern, {}, timeout=PATIENCE) == "killed"
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [(1, 0), (2, 0), (3, 0)]
    assert wire.ends(f"{pattern}.reply") == {0: 1}


def test_any_other_exception_of_a_request_is_answered_at_once(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern)
    def kill_dragon(payload, context: KafkaContext):
        attempts.append(context.attempt)
        raise ValueError("unexpected")

    with server, peers.client(pattern) as client:
        with pytest.raises(RpcException, match="Internal server error"):
            client.send(pattern, {}, timeout=PATIENCE)
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [1]


def test_request_that_was_answered_in_part_is_not_delivered_again(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern)
    def story(payload, context: KafkaContext):
        attempts.append(context.attempt)
        yield "chapter"
        raise KafkaRetriableException("again")

    with server:
        chapter, end = wire.request(pattern, b"{}")
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [1]
    assert chapter.value == b"chapter"
    assert end.header_names == [CORRELATION_ID, ERROR, IS_DISPOSED]
    assert end.header(ERROR) == b'{"error":"again","message":"again"}'


def test_message_without_return_address_is_treated_as_an_event(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern)
    def kill_dragon(payload, context: KafkaContext):
        attempts.append((context.attempt, context.expects_reply))
        if context.attempt < 2:
            raise ValueError("unexpected")
        return "nobody waits for this"

    with server:
        wire.produce(pattern, b"{}", headers=[(CORRELATION_ID, b"1")])
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [(1, False), (2, False)]
    assert wire.ends(f"{pattern}.reply") == {0: 0}


def test_event_that_still_fails_at_the_stop_is_delivered_after_the_restart(
    peers: Peers, wire: Wire
):
    topic = peers.topic()
    failing, working = peers.server(), peers.server()
    tries, seen = [], []

    @failing.event_pattern(topic)
    def fails(event, context: KafkaContext):
        tries.append(context.attempt)
        raise KafkaRetriableException("never")

    @working.event_pattern(topic)
    def works(event, context: KafkaContext):
        seen.append((event, context.message.offset))

    with failing:
        wire.produce(topic, b"hero")
        eventually(lambda: len(tries) >= 2)
    assert wire.committed(failing.group_id, topic) == {0: 0}
    with working:
        eventually(lambda: seen == [("hero", 0)])


def test_stop_interrupts_the_wait_for_the_next_try(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"retry_backoff_ms": 30_000, "retry_backoff_max_ms": 30_000})
    tries = []

    @server.event_pattern(topic)
    def fails(event):
        tries.append(event)
        raise KafkaRetriableException("never")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: tries)
        started = time.monotonic()
        assert server.stop(timeout=20)
        assert time.monotonic() - started < 15

    assert tries == ["hero"]


def test_backlog_of_a_failing_key_keeps_no_other_key_waiting(peers: Peers, wire: Wire):
    topic = peers.topic()
    run = {"max_in_flight": 20, "ordering": "key", "retry_backoff_max_ms": 20}
    server = peers.server(run=run)
    others, failing, mended = [], [], threading.Event()

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        if context.message.key != "bad":
            others.append(event)
        elif not mended.is_set():
            raise KafkaRetriableException("not yet")
        else:
            failing.append(event)

    with server, peers.client() as client:
        # Five times as many as may be in flight, of the failing key alone.
        for number in range(100):
            client.emit(topic, Message(key="bad", value=number))
            client.emit(topic, Message(key=f"good-{number}", value=number))
        eventually(lambda: len(others) == 100)
        eventually(lambda: server.health().in_flight == 100)
        assert wire.committed(server.group_id, topic) == {0: 0}

        mended.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 200})

    assert failing == list(map(str, range(100)))


def test_reading_pauses_when_too_many_wait_for_a_failing_key(peers: Peers, wire: Wire):
    topic = peers.topic()
    run = {"max_in_flight": 4, "max_waiting": 10, "ordering": "key", "retry_backoff_max_ms": 20}
    server = peers.server(run=run)
    handled, mended = [], threading.Event()

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        if not mended.is_set():
            raise KafkaRetriableException("not yet")
        handled.append(event)

    with server, peers.client() as client:
        for number in range(50):
            client.emit(topic, Message(key="bad", value=number))
        eventually(lambda: server.health().in_flight >= 10)
        assert server.health().in_flight <= 14

        mended.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 50})

    assert handled == list(map(str, range(50)))
