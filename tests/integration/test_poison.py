"""Poison does no harm: it goes the declared way, bytes intact, and the rest goes on."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest

from kafka_patterns import (
    KafkaContext,
    KafkaStatus,
    Message,
    NotConnected,
    PayloadError,
    ReplyPayloadError,
    RpcException,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import (
    CORRELATION_ID,
    ERROR,
    IS_DISPOSED,
    REPLY_PARTITION,
    REPLY_TOPIC,
    Wire,
)
from tests.support.waiting import eventually

DEEP = b"[" * 100_000
DEEP_AND_CLOSED = b"[" * 100_000 + b"]" * 100_000
LONG_NUMBER = b"[" + b"9" * 300_000 + b"]"
LONG_EXPONENT = b'{"n":1e999999999}'

POISON = [
    pytest.param(b"\xff\xfe\x00", id="no utf-8"),
    pytest.param(DEEP, id="deep"),
    pytest.param(DEEP_AND_CLOSED, id="deep and closed"),
    pytest.param(LONG_NUMBER, id="long number"),
    pytest.param(b'{"name": NaN}', id="nan"),
    pytest.param(b"{", id="half an object"),
    pytest.param(b"\x00", id="nul"),
    pytest.param(b"", id="empty"),
    pytest.param(None, id="null"),
]


@attrs.frozen
class Item:
    name: str


@pytest.mark.parametrize("poison", POISON)
def test_handler_without_annotation_takes_any_bytes(peers: Peers, wire: Wire, poison):
    topic = peers.topic()
    server = peers.server()
    raw = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        raw.append((context.message.raw_value, context.attempt))

    with server:
        wire.produce(topic, poison, key=b"")
        wire.produce(topic, b"good")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    assert raw == [(poison, 1), (b"good", 1)]


def test_binary_keys_and_headers_reach_the_handler(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        message = context.message
        seen.append((message.key, message.headers, message.raw_key, message.raw_headers))

    deep = [("", b"\x00"), ("deep", DEEP), ("\N{DRAGON}", b"\xff"), ("empty", b"")]
    with server:
        wire.produce(topic, b"hero", key=b"", headers=deep)
        wire.produce(topic, b"hero", key=DEEP, headers=[(CORRELATION_ID, b"\xff\xfe")])
        wire.produce(topic, b"hero", key=b"\x00\xff")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})

    headers = {"": b"\x00", "deep": DEEP.decode(), "\N{DRAGON}": "\ufffd", "empty": ""}
    assert seen == [
        ("", headers, b"", deep),
        (DEEP.decode(), {CORRELATION_ID: "\ufffd\ufffd"}, DEEP, [(CORRELATION_ID, b"\xff\xfe")]),
        (b"\x00\xff", {}, b"\x00\xff", []),
    ]


@pytest.mark.parametrize("poison", POISON)
def test_request_with_poison_is_answered_with_an_error(peers: Peers, wire: Wire, poison):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(typed_echo)

    with server:
        (refusal,) = wire.request(pattern, poison)
        (answer,) = wire.request(pattern, b'{"name":"sword"}')
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 2})

    assert refusal.header_names == [CORRELATION_ID, ERROR, IS_DISPOSED]
    assert b"Item" in refusal.header(ERROR)
    assert answer.value == b"sword"


def typed_echo(item: Item) -> str:
    return item.name


class Unreadable:
    """A deserializer that cannot read what begins with ``bad``."""

    def deserialize(self, record: Any) -> str:
        if record.value.startswith(b"bad"):
            raise ValueError("no schema for this")
        return record.value.decode()


class Notes:
    """A global filter that notes what it saw and changes nothing."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes | None, int]] = []

    def catch(self, exception: Exception, context: KafkaContext) -> Any:
        self.seen.append((type(exception).__name__, context.message.raw_value, context.attempt))
        raise exception


def poisoned_server(peers: Peers, topic, **run):
    """A server that cannot read ``bad...``; returns it, what it handled, and what failed."""
    server = peers.server(deserializer=Unreadable(), run=run)
    handled, notes = [], Notes()
    server.use_global_filters(notes)

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        handled.append((event, context.partition))

    return server, handled, notes


def test_unreadable_event_is_held_and_others_go_on(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)
    server, handled, notes = poisoned_server(peers, topic)

    with server:
        wire.produce(topic, b"bad \xff", partition=0)
        wire.produce(topic, b"behind it", partition=0)
        eventually(lambda: len(notes.seen) >= 3)
        wire.produce(topic, b"good", partition=1)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 0, 1: 1})
        assert server.status.current is KafkaStatus.CONNECTED

    assert handled == [("good", 1)]
    # The original bytes are intact at each try.
    assert notes.seen[:3] == [("PayloadError", b"bad \xff", attempt) for attempt in (1, 2, 3)]
    assert wire.committed(server.group_id, topic) == {0: 0, 1: 1}


def test_unreadable_event_is_skipped_where_that_is_said(peers: Peers, wire: Wire):
    topic = peers.topic()
    server, handled, notes = poisoned_server(peers, topic, on_poison="skip")

    with server:
        wire.produce(topic, b"first")
        wire.produce(topic, b"bad")
        wire.produce(topic, b"last")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})

    assert handled == [("first", 0), ("last", 0)]
    assert notes.seen == [("PayloadError", b"bad", 1)]


def test_unreadable_event_stops_the_server_where_that_is_said(peers: Peers, wire: Wire):
    topic = peers.topic()
    server, handled, _ = poisoned_server(peers, topic, on_poison="stop")
    raised = []

    def run():
        with pytest.raises(PayloadError) as error:
            server.run()
        raised.append(error.value)

    running = threading.Thread(target=run)
    running.start()
    assert server.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)
    wire.produce(topic, b"good")
    wire.produce(topic, b"bad")
    wire.produce(topic, b"behind it")
    running.join(PATIENCE)

    assert not running.is_alive()
    (error,) = raised
    assert f"topic '{topic}', partition 0, offset 1" in str(error)
    assert "no schema for this" in str(error)
    assert handled == [("good", 0)]
    assert wire.committed(server.group_id, topic) == {0: 1}


def test_unreadable_event_stops_a_started_server_and_leaves_its_partitions_to_others(
    peers: Peers, wire: Wire
):
    topic = peers.topic()
    server, handled, _ = poisoned_server(peers, topic, on_poison="stop")
    other, handled_by_other, _ = poisoned_server(peers, topic, on_poison="skip")
    told: list[KafkaStatus] = []

    with server:
        server.status.subscribe(told.append)
        for value in (b"good", b"bad", b"behind it"):
            wire.produce(topic, value)
        eventually(lambda: not server.health().alive)
        assert (server.status.current, server.health().assignment) == (KafkaStatus.CRASHED, {})
        assert "no schema for this" in (server.health().last_error or "")
        with other:
            eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})
        assert server.status.current is KafkaStatus.CRASHED

    assert (handled, handled_by_other) == ([("good", 0)], [("behind it", 0)])
    assert told == [KafkaStatus.CONNECTED, KafkaStatus.CRASHED, KafkaStatus.STOPPED]
    with pytest.raises(NotConnected):
        server.producer.unwrap()


@pytest.mark.parametrize("on_poison", ["hold", "skip"])
def test_event_that_does_not_fit_its_annotation_goes_the_same_way(
    peers: Peers, wire: Wire, on_poison
):
    topic = peers.topic(partitions=2)
    server = peers.server(run={"on_poison": on_poison})
    handled = []

    @server.event_pattern(topic)
    def entered(item: Item):
        handled.append(item)

    with server:
        wire.produce(topic, DEEP, partition=0)
        wire.produce(topic, b'{"name":"sword"}', partition=1)
        expected = {0: 0, 1: 1} if on_poison == "hold" else {0: 1, 1: 1}
        eventually(lambda: wire.committed(server.group_id, topic) == expected)

    assert handled == [Item("sword")]


ADDRESSES = [
    pytest.param([(REPLY_PARTITION, b"abc")], 0, id="partition that is no number"),
    pytest.param([(REPLY_PARTITION, b"99")], 0, id="partition that does not exist"),
    pytest.param([(REPLY_PARTITION, b"9" * 1000)], 0, id="partition of a thousand digits"),
    pytest.param([(REPLY_PARTITION, b"\xff\xff\xff\xff")], 0, id="negative partition"),
    pytest.param([("kafka_patterns-deadline", b"\xff")], 0, id="deadline that is no number"),
]


@pytest.mark.parametrize(("headers", "partition"), ADDRESSES)
def test_nonsense_in_the_return_address_is_answered_all_the_same(
    peers: Peers, wire: Wire, headers, partition
):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    address = [(CORRELATION_ID, b"\xff\xfe"), (REPLY_TOPIC, f"{pattern}.reply".encode())]

    with server:
        wire.produce(pattern, b"hero", headers=[*address, *headers])
        eventually(lambda: wire.ends(f"{pattern}.reply") == {partition: 1})

    (reply,) = wire.records(f"{pattern}.reply")
    assert reply.value == b"hero"
    assert reply.header(CORRELATION_ID) == b"\xff\xfe"


GARBAGE = [
    Message(value="no headers at all"),
    Message(value="x", headers=[(CORRELATION_ID, None)]),
    Message(value="x", headers=[(CORRELATION_ID, b"")]),
    Message(value="x", headers=[(CORRELATION_ID, b"\xff\x00")]),
    Message(value=DEEP, headers=[(CORRELATION_ID, "unknown"), (IS_DISPOSED, None)]),
    Message(value=None, headers=[(CORRELATION_ID, "unknown"), (ERROR, DEEP)]),
]


def test_garbage_in_the_reply_topic_disturbs_no_request(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)

    with server, peers.client(pattern) as client:
        for garbage in GARBAGE:
            client.emit(f"{pattern}.reply", garbage)
            assert client.send(pattern, {"id": 1}, timeout=PATIENCE) == {"id": 1}


@pytest.mark.parametrize("poison", [DEEP_AND_CLOSED, LONG_NUMBER, b"\xff\xfe"])
def test_poisonous_reply_is_an_error_of_that_request_alone(peers: Peers, poison):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: poison if payload == "bad" else [1])

    with server, peers.client(pattern) as client:
        with pytest.raises(ReplyPayloadError):
            client.send(pattern, "bad", timeout=PATIENCE, returns=list[int])
        assert client.send(pattern, "good", timeout=PATIENCE, returns=list[int]) == [1]


ERROR_HEADERS = [
    (b"", None),
    (b"\xff", "\ufffd"),
    (DEEP, DEEP.decode()),
    (b"{broken", "{broken"),
    (b'{"code":1}', {"code": 1}),
]


@pytest.mark.parametrize(("header", "meaning"), ERROR_HEADERS, ids=lambda value: str(value)[:9])
def test_any_error_header_of_a_peer_ends_the_request(peers: Peers, wire: Wire, header, meaning):
    """An empty one ends it without an error and without a value, as in NestJS."""
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        future = client.send_future(pattern, "hero", timeout=PATIENCE)
        eventually(lambda: wire.ends(pattern) == {0: 1})
        (request,) = wire.records(pattern)
        address = (CORRELATION_ID, request.header(CORRELATION_ID))
        wire.produce(f"{pattern}.reply", b"ignored", headers=[address, (ERROR, header)])
        if meaning is None:
            assert future.result(PATIENCE) is None
        else:
            with pytest.raises(RpcException) as raised:
                future.result(PATIENCE)
            assert raised.value.error == meaning
