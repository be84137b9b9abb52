"""What a client tells of itself."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

from kafka_patterns import KafkaStatus, RequestTimeout, RpcException
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.integration.wire import CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC, Wire
from tests.support.waiting import eventually


def serve(peers: Peers, pattern, gate: threading.Event):
    server = peers.server()

    @server.message_pattern(pattern)
    def answer(payload):
        if payload == "fail":
            raise RpcException("as asked")
        if payload == "wait":
            assert gate.wait(PATIENCE)
        return payload

    return server.start()


def test_every_request_is_counted_once_by_its_end(peers: Peers, gate: threading.Event):
    pattern, other = peers.topic(replies=1), peers.topic(replies=1)
    serve(peers, pattern, gate)

    with peers.client(pattern, other) as client:
        client.send(pattern, "hero", timeout=PATIENCE)
        list(client.stream(pattern, "hero", timeout=PATIENCE))
        with pytest.raises(RpcException):
            client.send(pattern, "fail", timeout=PATIENCE)
        client.send_future(other, "nobody", timeout=PATIENCE).cancel()
        let_know(client, other)
        with pytest.raises(RequestTimeout):
            client.send(other, "nobody", timeout=0.05)
        with pytest.raises(RequestTimeout):
            client.send_future(other, "nobody", timeout=0.05).result(PATIENCE)
        assert client.send_future(pattern, "hero", timeout=PATIENCE).result(PATIENCE) == "hero"
        assert client.send_future(pattern, "fail", timeout=PATIENCE).exception(PATIENCE)
        client.send_future(pattern, "wait", timeout=PATIENCE)
        # Who waits for a future may hear of its end before it is counted.
        eventually(lambda: client.health().pending == 1, PATIENCE)
        health = client.health()
        gate.set()

    counts = health.patterns[pattern]
    assert (counts.sent, counts.pending, counts.replied, counts.failed) == (6, 1, 3, 2)
    assert counts.reply_times.count == 5
    assert counts.reply_times.total > 0
    others = health.patterns[other]
    assert (others.sent, others.timed_out, others.cancelled, others.pending) == (3, 2, 1, 0)
    assert (health.sent, health.pending, health.replied) == (9, 1, 3)
    assert (health.failed, health.timed_out) == (2, 2)
    assert health.status is KafkaStatus.CONNECTED
    assert health.alive
    assert health.seconds_since_poll < PATIENCE
    assert health.reply_partitions == {f"{pattern}.reply": 0, f"{other}.reply": 0}
    assert health.last_error is None


def test_close_counts_what_it_ends_and_the_counts_go_on(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    serve(peers, pattern, gate)
    client = peers.client(pattern)
    assert client.health().status is None

    client.send_future(pattern, "wait", timeout=PATIENCE)
    client.close()
    closed = client.health()
    gate.set()
    client.connect()
    client.send(pattern, "hero", timeout=PATIENCE)

    assert (closed.status, closed.alive) == (KafkaStatus.STOPPED, False)
    assert (closed.failed, closed.pending) == (1, 0)
    assert client.health().sent == 2


def test_replies_that_nobody_waits_for_are_told_apart(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    serve(peers, pattern, gate)
    direct = {"mode": "direct"}
    replies = f"{pattern}.reply"

    with (
        peers.client(pattern, reply=direct) as first,
        peers.client(pattern, reply=direct) as second,
    ):
        # Late: the request ends before its reply comes.
        let_know(first, pattern)
        with pytest.raises(RequestTimeout):
            first.send(pattern, "wait", timeout=0.1)
        gate.set()
        # Unknown: without an id, and with one of a foreign form.
        wire.produce(replies, b"x")
        wire.produce(replies, b"x", headers=[(CORRELATION_ID, b"\x00" * 16)])

        eventually(lambda: first.health().late == 1, PATIENCE)
        eventually(lambda: first.health().unknown == 2, PATIENCE)
        eventually(lambda: second.health().of_others == 1, PATIENCE)
        eventually(lambda: second.health().unknown == 2, PATIENCE)
        assert (first.health().of_others, second.health().late) == (0, 0)

        # Twice: the second one is late.
        answered = second.send(pattern, "hero", timeout=PATIENCE)
        request = wire.records(pattern)[-1]
        wire.produce(replies, b"again", headers=[(CORRELATION_ID, request.header(CORRELATION_ID))])
        eventually(lambda: second.health().late == 1, PATIENCE)
        (counts,) = second.health().patterns.values()
        assert (counts.late, counts.of_others, counts.unknown) == (1, 1, 2)

    assert answered == "hero"
    assert {REPLY_TOPIC, REPLY_PARTITION} <= set(request.header_names)


def test_ten_thousand_pending_requests_take_little_memory_and_no_thread_each(
    peers: Peers, wire: Wire
):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        client.send_future(pattern, "first", timeout=600)
        threads = threading.active_count()
        tracemalloc.start()
        try:
            futures = [client.send_future(pattern, "x", timeout=600) for _ in range(999)]
            # What the producer has of them goes out, and its memory is free again.
            eventually(lambda: wire.ends(pattern) == {0: 1_000}, PATIENCE)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        futures += [client.send_future(pattern, "x", timeout=600) for _ in range(9_000)]

        assert held < 1_000 * 10_000
        assert client.health().pending == 10_000
        assert threading.active_count() <= threads + 2

        assert all(future.cancel() for future in futures)
        assert client.health().pending <= 1
