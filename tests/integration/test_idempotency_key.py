"""The name that a caller gives to a message reaches the handler."""

from __future__ import annotations

import pytest

from kafka_patterns import ConfigurationError, KafkaContext, PayloadError
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually

HEADER = "kafka_patterns-idempotency-key"

REQUESTS = {
    "send": lambda client, topic, key: client.send(
        topic, "x", timeout=PATIENCE, idempotency_key=key
    ),
    "send_future": lambda client, topic, key: client.send_future(
        topic, "x", timeout=PATIENCE, idempotency_key=key
    ).result(PATIENCE),
    "stream": lambda client, topic, key: next(
        client.stream(topic, "x", timeout=PATIENCE, idempotency_key=key)
    ),
    "gather": lambda client, topic, key: client.gather(
        topic, "x", expected=1, timeout=PATIENCE, idempotency_key=key
    ).values[0],
}
EVENTS = {
    "emit": lambda client, topic, key: client.emit(topic, "x", idempotency_key=key),
    "emit_future": lambda client, topic, key: client.emit_future(topic, "x", idempotency_key=key),
    "emit_batch": lambda client, topic, key: client.emit_batch(
        topic, ["x"], idempotency_keys=[key]
    ),
}


def test_handler_of_a_request_sees_the_key(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def tell(payload, context: KafkaContext):
        return {"given": context.idempotency_key}

    with server, peers.client(pattern) as client:
        for how, ask in REQUESTS.items():
            assert ask(client, pattern, how) == {"given": how}
        assert client.send(pattern, "x", timeout=PATIENCE) == {"given": None}

    keys = [dict(record.headers).get(HEADER) for record in wire.records(pattern)]
    assert keys == [*(how.encode() for how in REQUESTS), None]


def test_handler_of_an_event_sees_the_key(peers: Peers):
    topic = peers.topic()
    server = peers.server(subscribe={"from_beginning": True})
    keys = []

    @server.event_pattern(topic)
    def note(event, context: KafkaContext):
        keys.append(context.idempotency_key)

    with server, peers.client() as client:
        for how, emit in EVENTS.items():
            emit(client, topic, how)
        client.emit(topic, "x", idempotency_key=b"\x00\xff")
        eventually(lambda: len(keys) == 4, PATIENCE)

    assert keys == [*EVENTS, b"\x00\xff"]


def test_batch_needs_a_key_for_each_item(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        for keys in (["one"], "ab"):
            with pytest.raises(ConfigurationError, match="2 items and 1 idempotency_keys"):
                client.emit_batch(topic, ["x", "y"], idempotency_keys=keys)
        client.emit_batch(topic, ["x", "y"], idempotency_keys=iter(["one", None]))

    assert [record.headers for record in wire.records(topic)] == [[(HEADER, b"one")], []]


def test_key_that_names_nothing_is_refused(peers: Peers, wire: Wire):
    topic = peers.topic()
    with peers.client() as client, pytest.raises(PayloadError, match="idempotency_key=''"):
        client.emit(topic, "x", idempotency_key="")

    assert wire.ends(topic) == {0: 0}
