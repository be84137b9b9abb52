"""A message that another thread finishes later."""

from __future__ import annotations

import threading
import time

import pytest

from kafka_patterns import (
    Acknowledgement,
    Batch,
    ConfigurationError,
    KafkaContext,
    KafkaPatternsError,
    RequestTimeout,
    RpcException,
    ServerKafka,
)
from tests.integration.peers import PATIENCE, Peers
from tests.support.waiting import eventually


def test_request_is_answered_by_whoever_finishes_it(peers: Peers):
    topic = peers.topic(replies=1)
    server = peers.server()
    acknowledgements = []

    @server.message_pattern(topic)
    def slow(payload, context: KafkaContext):
        acknowledgements.append(context.defer())
        return "dropped"

    client = peers.client(topic)
    with server:
        future = client.send_future(topic, {"id": 1})
        eventually(lambda: acknowledgements)
        assert not future.done()
        acknowledgements[0].done({"finished": 1})

        assert future.result(PATIENCE) == {"finished": 1}


def test_failure_told_later_is_the_error_reply(peers: Peers):
    topic = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(topic)
    def slow(payload, context: KafkaContext):
        acknowledgement = context.defer()
        threading.Thread(target=acknowledgement.failed, args=[RpcException("later")]).start()

    client = peers.client(topic)
    with server, pytest.raises(RpcException) as caught:
        client.send(topic, 1, timeout=PATIENCE)
    assert caught.value.error == {"status": "error", "message": "later"}


def test_event_is_committed_when_it_is_finished_and_not_before(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    acknowledgements = []

    @server.event_pattern(topic, ordering="unordered")
    def slow(event, context: KafkaContext):
        if event == "held":
            acknowledgements.append(context.defer())

    with server:
        wire.produce(topic, b"held")
        wire.produce(topic, b"after")
        eventually(lambda: server.health().counters.get("handled") == 1 and acknowledgements)
        assert wire.committed(server.group_id, topic) == {0: 0}
        acknowledgements[0].done()

        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})


def test_event_that_failed_later_is_delivered_again(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    attempts = []

    @server.event_pattern(topic)
    def slow(event, context: KafkaContext):
        attempts.append(context.attempt)
        acknowledgement = context.defer()
        if context.attempt == 1:
            acknowledgement.failed(ValueError("not yet"))
        else:
            acknowledgement.done()

    with server:
        wire.produce(topic, b"x")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})
    assert attempts == [1, 2]


def test_message_is_acknowledged_once(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    acknowledgements = []

    @server.event_pattern(topic)
    def slow(event, context: KafkaContext):
        acknowledgements.append(context.defer())

    with server:
        wire.produce(topic, b"x")
        eventually(lambda: acknowledgements)
        acknowledgements[0].done()
        with pytest.raises(KafkaPatternsError, match="acknowledged before"):
            acknowledgements[0].done()


def test_handler_that_raises_after_all_has_failed(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    attempts = []

    @server.event_pattern(topic)
    def slow(event, context: KafkaContext):
        attempts.append(context.attempt)
        acknowledgement = context.defer()
        if context.attempt == 1:
            raise ValueError("after all")
        acknowledgement.done()

    with server:
        wire.produce(topic, b"x")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})
    assert attempts == [1, 2]


def defer_all(server: ServerKafka, topic: str) -> list[Acknowledgement]:
    acknowledgements: list[Acknowledgement] = []

    @server.message_pattern(topic)
    def slow(payload, context: KafkaContext):
        acknowledgements.append(context.defer())

    return acknowledgements


def test_stop_waits_for_whoever_finishes_it(peers: Peers, wire):
    topic = peers.topic(replies=1)
    server = peers.server()
    acknowledgements = defer_all(server, topic)

    client = peers.client(topic)
    with client:
        server.start()
        future = client.send_future(topic, 1, timeout=PATIENCE)
        eventually(lambda: acknowledgements, PATIENCE)
        stopped: list[bool] = []
        stopping = threading.Thread(target=lambda: stopped.append(server.stop(PATIENCE)))
        stopping.start()
        eventually(lambda: workers_have_ended(server), PATIENCE)
        assert not stopped
        acknowledgements[0].done("at last")
        stopping.join(PATIENCE)

        assert stopped == [True]
        assert future.result(PATIENCE) == "at last"
    assert wire.committed(server.group_id, topic) == {0: 1}


def workers_have_ended(server):
    name = f"kafka-patterns-{server.client_id}-worker"
    return not any(thread.name.startswith(name) for thread in threading.enumerate())


def test_stop_leaves_behind_what_nobody_finishes(peers: Peers, wire):
    topic = peers.topic(replies=1)
    server = peers.server()
    acknowledgements = defer_all(server, topic)

    client = peers.client(topic)
    with client:
        server.start()
        future = client.send_future(topic, 1, timeout=3)
        eventually(lambda: acknowledgements, PATIENCE)
        started = time.monotonic()
        assert server.stop(timeout=1) is False
        assert time.monotonic() - started < PATIENCE
        acknowledgements[0].done("too late")

        with pytest.raises(RequestTimeout):
            future.result(PATIENCE)
    assert wire.committed(server.group_id, topic) == {0: 0}


def test_deferring_after_the_handler_returned_is_refused(peers: Peers):
    topic = peers.topic(replies=1)
    server = peers.server()
    contexts: list[KafkaContext] = []

    @server.message_pattern(topic)
    def answer(payload, context: KafkaContext):
        contexts.append(context)
        return "answered"

    client = peers.client(topic)
    with server:
        assert client.send(topic, 1, timeout=PATIENCE) == "answered"
        eventually(lambda: server.health().in_flight == 0, PATIENCE)
        with pytest.raises(KafkaPatternsError, match=r"defer\(\) comes too late"):
            contexts[0].defer()


def test_batch_cannot_be_deferred(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    refusals: list[str] = []

    @server.event_pattern(topic, batch=Batch(max_size=2, max_wait=PATIENCE))
    def entered(events, context: KafkaContext):
        with pytest.raises(ConfigurationError) as refusal:
            context.defer()
        refusals.append(str(refusal.value))

    with server, peers.client() as client:
        client.emit_batch(topic, [1, 2])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2}, PATIENCE)
    assert len(refusals) == 1
    assert "a batch cannot be deferred" in refusals[0]
