"""Serializers of the user's own, on both sides, for all patterns or for one."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    KafkaContext,
    Message,
    PayloadError,
    Record,
    ReplyPayloadError,
    RpcException,
    make_converter,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.waiting import eventually


class Zipped:
    """A binary format: no text rule would survive it."""

    def __init__(self) -> None:
        self.written: list[tuple[Any, str, str]] = []
        self.read: list[Record] = []

    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        self.written.append((payload, topic, pattern))
        value = zlib.compress(str(payload).encode())
        return Message(value=value, headers={"format": "zipped"})

    def deserialize(self, record: Record) -> str:
        self.read.append(record)
        assert record.value is not None
        return zlib.decompress(record.value).decode()


def test_serializers_of_the_options_write_and_read_on_both_sides(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    of_client, of_server = Zipped(), Zipped()
    server = peers.server(serializer=of_server, deserializer=of_server)
    seen = []

    @server.message_pattern(pattern)
    def echo(payload, context: KafkaContext):
        seen.append((payload, context.message.value, context.message.headers["format"]))
        return f"echo of {payload}"

    with server, peers.client(pattern, serializer=of_client, deserializer=of_client) as client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "echo of hero"

    assert seen == [("hero", "hero", "zipped")]
    assert of_client.written == [("hero", pattern, pattern)]
    assert of_server.written == [("echo of hero", f"{pattern}.reply", pattern)]
    assert [record.value for record in of_server.read] == [zlib.compress(b"hero")]
    assert [record.topic for record in of_client.read] == [f"{pattern}.reply"]
    (reply,) = wire.records(f"{pattern}.reply")
    assert reply.value == zlib.compress(b"echo of hero")
    assert reply.header_names[0] == "format"


class Money:
    """What only a converter of the user's own can read."""

    def __init__(self, amount: int) -> None:
        self.amount = amount


def test_converters_make_the_objects_of_both_sides(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    converter = make_converter()
    converter.register_structure_hook(Money, lambda value, _: Money(value["amount"]))
    converter.register_unstructure_hook(Money, lambda money: {"amount": money.amount})
    server = peers.server(converter=converter)

    @server.message_pattern(pattern)
    def double(money: Money) -> Money:
        return Money(2 * money.amount)

    with server, peers.client(pattern) as client:
        client.use_serializers(pattern, converter=converter)
        reply = client.send(pattern, Money(3), timeout=PATIENCE, returns=Money)

    assert reply.amount == 6
    assert [record.value for record in wire.records(pattern)] == [b'{"amount":3}']


def test_serializers_of_one_pattern_leave_the_others_alone(peers: Peers, wire: Wire):
    zipped_pattern, plain_pattern = peers.topic(replies=1), peers.topic(replies=1)
    server = peers.server()
    zipped = Zipped()
    server.message_pattern(zipped_pattern, serializer=zipped, deserializer=zipped)(
        lambda payload: f"echo of {payload}"
    )
    server.message_pattern(plain_pattern)(lambda payload: payload)
    client = peers.client(zipped_pattern, plain_pattern)
    client.use_serializers(zipped_pattern, serializer=Zipped(), deserializer=Zipped())

    with server, client:
        assert client.send(zipped_pattern, "hero", timeout=PATIENCE) == "echo of hero"
        assert client.send(plain_pattern, {"id": 1}, timeout=PATIENCE) == {"id": 1}
        client.emit(zipped_pattern, "event")
        eventually(lambda: len(zipped.read) == 2)

    assert [r.value for r in wire.records(plain_pattern)] == [b'{"id":1}']
    expected = [zlib.compress(b"hero"), zlib.compress(b"event")]
    assert [r.value for r in wire.records(zipped_pattern)] == expected


def test_deserializer_of_an_event_handler(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = collect_events(server, topic, deserializer=Zipped())

    with server:
        wire.produce(topic, zlib.compress(b"hero"))
        eventually(lambda: seen == ["hero"])


class Failing:
    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        raise KeyError("no schema")

    def deserialize(self, record: Record) -> Any:
        raise KeyError("no schema")


def test_serializer_that_fails_is_a_payload_error_and_nothing_is_sent(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, serializer=Failing()) as client:
        for act in (client.emit, client.emit_future, client.send, client.send_future):
            with pytest.raises(PayloadError, match=f"'{pattern}'.*KeyError.*no schema"):
                act(pattern, "hero")

    assert wire.ends(pattern) == {0: 0}


class NotBytes:
    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        return Message(value={"not": "bytes"})


def test_serializer_that_gives_no_bytes_is_named(peers: Peers, wire: Wire):
    topic = peers.topic()

    refused = pytest.raises(PayloadError, match=f"'{topic}' from NotBytes: .*bytes.*dict")
    with peers.client(serializer=NotBytes()) as client, refused:
        client.emit(topic, "hero")

    assert wire.ends(topic) == {0: 0}


def test_deserializer_that_fails_on_a_request_is_answered_with_an_error(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server(deserializer=Failing())
    server.message_pattern(pattern)(lambda payload: payload)

    refused = pytest.raises(RpcException, match="no schema")
    with server, peers.client(pattern) as client, refused:
        client.send(pattern, "hero", timeout=PATIENCE)


def test_deserializer_that_fails_on_a_reply_is_an_error_of_that_reply(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)

    with server, peers.client(pattern, deserializer=Failing()) as client:
        with pytest.raises(ReplyPayloadError, match="no schema"):
            client.send(pattern, "hero", timeout=PATIENCE)
        with pytest.raises(ReplyPayloadError, match="no schema"):
            client.send_future(pattern, "hero", timeout=PATIENCE).result(PATIENCE)


def test_object_without_the_method_is_refused(peers: Peers):
    useless: Any = object()
    with pytest.raises(ConfigurationError, match=r"serializer.*serialize\(\)"):
        peers.client(serializer=useless)
    with pytest.raises(ConfigurationError, match=r"deserialize\(\)"):
        peers.client().use_serializers("hero", deserializer=useless)
    with pytest.raises(ConfigurationError, match=r"serialize\(\)"):
        peers.server().message_pattern("hero", serializer=useless)(lambda payload: None)
