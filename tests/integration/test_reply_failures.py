"""Replies that the broker refuses, for a while or for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from kafka_patterns import ServerKafka
from kafka_patterns.testing import ApiKey, EmbeddedBroker
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.integration.wire import CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC, Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually
from tests.transport.error_codes import NOT_LEADER, TOPIC_NOT_AUTHORIZED


@pytest.fixture
def own_wire(own_broker: TestBroker) -> Iterator[Wire]:
    with closing(Wire(own_broker.bootstrap_servers)) as wire:
        yield wire


@contextmanager
def refusing(broker: TestBroker, error: int) -> Iterator[None]:
    """A broker that takes no records, with *error*."""
    if not isinstance(broker.backend, EmbeddedBroker):
        pytest.skip("only the embedded broker refuses at will")
    broker.backend.push_request_errors(ApiKey.PRODUCE, *[error] * 10_000)
    try:
        yield
    finally:
        broker.backend.clear_request_errors(ApiKey.PRODUCE)


def answer_at(gate: threading.Event, server: ServerKafka, topic: str) -> list[object]:
    asked: list[object] = []

    @server.message_pattern(topic)
    def answer(payload):
        asked.append(payload)
        assert gate.wait(PATIENCE)
        return payload

    return asked


def test_reply_is_sent_until_the_broker_has_it_and_no_offset_goes_before(
    own_broker: TestBroker, own_peers: Peers, own_wire: Wire, gate: threading.Event
):
    topic = own_peers.topic(replies=1)
    server = own_peers.server(send={"timeout_ms": 200})
    asked = answer_at(gate, server, topic)

    with server, own_peers.client(topic) as client:
        reply = client.send_future(topic, "hero", timeout=3 * PATIENCE)
        eventually(lambda: asked, PATIENCE)
        with refusing(own_broker, NOT_LEADER):
            gate.set()
            eventually(lambda: server.health().counters.get("replies_sent_again", 0) > 2, PATIENCE)
            # The handler is through, the message is not.
            assert server.health().running == 0
            assert server.health().in_flight == 1
            assert own_wire.committed(server.group_id, topic) == {0: 0}

        assert reply.result(PATIENCE) == "hero"
        eventually(lambda: own_wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
    assert asked == ["hero"]


def test_reply_that_the_broker_never_takes_is_counted_and_finished(
    own_broker: TestBroker, own_peers: Peers, own_wire: Wire, gate: threading.Event
):
    topic = own_peers.topic(replies=1)
    server = own_peers.server()
    asked = answer_at(gate, server, topic)

    with server, own_peers.client(topic) as client:
        client.send_future(topic, "refused", timeout=PATIENCE)
        eventually(lambda: asked, PATIENCE)
        with refusing(own_broker, TOPIC_NOT_AUTHORIZED):
            gate.set()
            eventually(lambda: own_wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
            assert server.health().counters["replies_failed"] == 1
            assert server.health().in_flight == 0

        assert client.send(topic, "answered", timeout=PATIENCE) == "answered"
    assert asked == ["refused", "answered"]


@pytest.mark.parametrize("is_known", [True, False], ids=["known topic", "unknown topic"])
def test_reply_for_a_partition_that_does_not_exist_goes_to_one_that_does(
    own_broker: TestBroker, own_peers: Peers, own_wire: Wire, *, is_known: bool
):
    topic = own_peers.topic()
    server = own_peers.server()
    server.message_pattern(topic)(lambda payload: payload)

    with server:
        replies = own_broker.create_topic("other.reply", 1)
        if is_known:
            let_know(server, replies)
        own_wire.produce(
            topic,
            b"hero",
            headers=[
                (CORRELATION_ID, b"id"),
                (REPLY_TOPIC, replies.encode()),
                (REPLY_PARTITION, b"7"),
            ],
        )
        eventually(lambda: own_wire.records(replies), PATIENCE)

    (reply,) = own_wire.records(replies)
    assert reply.value == b"hero"
    assert reply.header(CORRELATION_ID) == b"id"


def test_requests_whose_replies_have_no_leader_hold_up_no_others(
    own_broker: TestBroker, own_peers: Peers, own_wire: Wire
):
    if not isinstance(own_broker.backend, EmbeddedBroker):
        pytest.skip("only the embedded broker has partitions without a leader at will")
    topic = own_peers.topic(replies=1)
    server = own_peers.server(run={"max_in_flight": 10})
    server.message_pattern(topic)(lambda payload: payload)

    with server, own_peers.client(topic) as client:
        assert client.send(topic, "before", timeout=PATIENCE) == "before"
        own_broker.create_topic("headless.reply", 1)
        own_broker.backend.set_partition_leader("headless.reply", 0, None)
        for _ in range(30):
            address = [(CORRELATION_ID, b"id"), (REPLY_TOPIC, b"headless.reply")]
            own_wire.produce(topic, b"x", headers=[*address, (REPLY_PARTITION, b"0")])

        # Far less than the 30 s for which a reply is on its way.
        assert client.send(topic, "meanwhile", timeout=20) == "meanwhile"
        assert server.health().in_flight >= 30

        own_broker.backend.set_partition_leader("headless.reply", 0, 1)
        eventually(lambda: own_wire.ends("headless.reply") == {0: 30}, PATIENCE)
        eventually(lambda: server.health().in_flight == 0, PATIENCE)
