"""Requests and events end, whatever becomes of brokers, topics and threads of ours."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time

import pytest
from kafka.errors import TopicAlreadyExistsError

from kafka_patterns import ReplyPayloadError, RequestTimeout, SendFailed
from kafka_patterns.consuming.drivers import SEND_GRACE_SECONDS
from tests.integration.outage import take_away
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually


def serve_echo(peers: Peers, pattern, gate=None):
    server = peers.server()

    @server.message_pattern(pattern)
    def echo(payload):
        if payload == "wait" and gate is not None:
            assert gate.wait(PATIENCE)
        return payload

    return server.start()


def end_thread(name):
    """Let the thread called *name* end as by ``sys.exit`` wherever it is now."""
    (thread,) = [thread for thread in threading.enumerate() if thread.name == name]
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )


@pytest.mark.parametrize("mode", ["group", "direct"])
def test_reading_goes_on_when_its_thread_is_to_end(peers: Peers, gate: threading.Event, mode):
    pattern, nobody = peers.topic(replies=1), peers.topic(replies=1)
    serve_echo(peers, pattern, gate)

    with peers.client(pattern, nobody, reply={"mode": mode}) as client:
        # It is connected then: amid a connect it would leave a socket behind.
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        pending = client.send_future(pattern, "wait", timeout=PATIENCE)
        let_know(client, nobody)
        unanswered = client.send_future(nobody, "?", timeout=0.5)
        end_thread("kafka-patterns-hero-client-fetcher")
        eventually(lambda: "SystemExit" in (client.health().last_error or ""), PATIENCE)
        gate.set()

        assert isinstance(unanswered.exception(PATIENCE), RequestTimeout)
        assert pending.result(PATIENCE) == "wait"
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"


def test_futures_end_though_the_thread_of_their_deadlines_is_to_end(peers: Peers):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, reply={"mode": "direct"}) as client:
        future = client.send_future(pattern, "nobody answers", timeout=0.5)
        end_thread("kafka-patterns-hero-client-deadlines")

        assert isinstance(future.exception(PATIENCE), RequestTimeout)


def test_callback_that_exits_keeps_no_other_from_being_called(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    called = threading.Event()

    with peers.client(pattern) as client:
        client.send_future(pattern, "x").add_done_callback(lambda _: sys.exit(1))
        client.send_future(pattern, "x").add_done_callback(lambda _: called.set())

        assert called.wait(PATIENCE)


@pytest.mark.parametrize("how", ["emit", "emit_future", "emit_batch"])
def test_event_ends_within_its_timeout_and_says_why_the_broker_is_not_reached(
    own_broker: TestBroker, own_peers: Peers, how
):
    topic = own_peers.topic()
    client = own_peers.client()
    emitting = {
        "emit": lambda: client.emit(topic, "x", timeout=1.0),
        "emit_future": lambda: client.emit_future(topic, "x", timeout=1.0).result(PATIENCE),
        "emit_batch": lambda: client.emit_batch(topic, ["x", "y"], timeout=1.0),
    }

    with client:
        client.emit(topic, "before")
        take_away(own_broker)
        started = time.monotonic()
        with pytest.raises(SendFailed, match="nothing listens there") as failure:
            emitting[how]()
        ended = time.monotonic()
        client.close(timeout=0.5)

    assert ended - started < 1.0 + SEND_GRACE_SECONDS + 10.0
    assert failure.value.outcome_unknown
    if how == "emit_batch":
        assert [type(result) for result in failure.value.results] == [SendFailed] * 2


def test_request_ends_within_its_timeout_when_the_broker_is_gone(
    own_broker: TestBroker, own_peers: Peers
):
    pattern = own_peers.topic(replies=1)

    with own_peers.client(pattern, reply={"mode": "direct"}) as client:
        take_away(own_broker)
        started = time.monotonic()
        future = client.send_future(pattern, "x", timeout=2.0)
        called = time.monotonic()
        with pytest.raises((RequestTimeout, SendFailed)):
            client.send(pattern, "x", timeout=1.0)
        with pytest.raises((RequestTimeout, SendFailed)):
            future.result(PATIENCE)
        ended = time.monotonic()
        client.close(timeout=0.5)

    assert called - started < 1.5
    assert ended - started < 15


def test_reply_that_cannot_be_read_fails_its_own_request_only(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern) as client:
        futures = [
            client.send_future(pattern, value, timeout=PATIENCE, returns=int)
            for value in ("1", "one", "2")
        ]

        assert futures[0].result(PATIENCE) == 1
        assert isinstance(futures[1].exception(PATIENCE), ReplyPayloadError)
        assert futures[2].result(PATIENCE) == 2


def make_anew(backend: KafkaServer, topic):
    backend.delete_topic(topic)
    # Whoever asks for it lets the broker create it.
    with contextlib.suppress(TopicAlreadyExistsError):
        backend.create_topic(topic)


@pytest.mark.real_kafka
@pytest.mark.parametrize("old_replies", [1, 50])
def test_reply_topic_that_was_made_anew_is_read_from_its_beginning(
    own_broker: TestBroker, own_peers: Peers, old_replies
):
    pattern = own_peers.topic(replies=1)
    backend = own_broker.backend
    assert isinstance(backend, KafkaServer)
    serve_echo(own_peers, pattern)
    with own_peers.client(pattern, reply={"mode": "direct"}) as client:
        for number in range(old_replies):
            client.send(pattern, number, timeout=PATIENCE)

        make_anew(backend, f"{pattern}.reply")
        # More than the old topic had: the old position lies amid them.
        futures = [client.send_future(pattern, n, timeout=PATIENCE) for n in range(60)]

        assert [future.result(PATIENCE) for future in futures] == [str(n) for n in range(60)]


@pytest.mark.real_kafka
def test_replies_written_while_a_topic_was_unknown_here_are_read(
    own_broker: TestBroker, own_peers: Peers
):
    pattern = own_peers.topic(replies=1)
    backend = own_broker.backend
    assert isinstance(backend, KafkaServer)
    with (
        contextlib.closing(Wire(own_broker.bootstrap_servers)) as wire,
        own_peers.client(pattern, reply={"mode": "direct"}) as client,
    ):
        client.health()
        wire.produce(f"{pattern}.reply", b"old")
        eventually(lambda: client.health().unknown == 1, PATIENCE)

        make_anew(backend, f"{pattern}.reply")
        for _ in range(5):
            wire.produce(f"{pattern}.reply", b"new")

        # What is written while the first one to read is looked up may come twice.
        eventually(
            lambda: client.health().unknown >= 6,
            PATIENCE,
            describe=lambda: f"six replies, not {client.health().unknown}",
        )
