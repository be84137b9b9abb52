"""What becomes of bytes on the way in, and of objects on the way out."""

from __future__ import annotations

import copy
import dataclasses
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import attrs
import pytest

from kafka_patterns import (
    KafkaContext,
    Message,
    PayloadError,
    ReplyPayloadError,
    RpcException,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually


@attrs.frozen
class Item:
    name: str
    price: float
    magic: bool = False


@dataclasses.dataclass
class KillDragon:
    dragon_id: int
    weapons: list[Item]


class Realm(Enum):
    NEST = "nest"


# In


INCOMING: list[tuple[bytes | None, Any]] = [
    (None, None),
    (b"", ""),
    (b"text", "text"),
    (b"5", "5"),
    (b"true", "true"),
    (b"null", "null"),
    (b'"quoted"', '"quoted"'),
    (b'{"a":[1,2.5,null,true]}', {"a": [1, 2.5, None, True]}),
    (b"[]", []),
    ('{"ä":"日本"}'.encode(), {"ä": "日本"}),
    (b' {"a":1}', ' {"a":1}'),
    (b'{"a":1', '{"a":1'),
    (b"{not json}", "{not json}"),
    (b"\xff\xfe", "\ufffd\ufffd"),
    (b"\x00\xff{", b"\x00\xff{"),
]


def test_bytes_become_text_and_text_becomes_an_object_only_if_it_looks_like_one(
    peers: Peers, wire: Wire
):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        message = context.message
        seen.append((event, message.value, message.raw_value, message.key, message.headers["h"]))

    with server:
        for raw, _ in INCOMING:
            wire.produce(topic, raw, key=raw or b"", headers=[("h", raw or b"")])
        eventually(lambda: len(seen) == len(INCOMING))

    # Key and headers are read by the same rules; they are empty here where the value is null.
    assert seen == [
        (meaning, meaning, raw, "" if raw is None else meaning, "" if raw is None else meaning)
        for raw, meaning in INCOMING
    ]


def test_payload_annotated_as_a_class_is_structured(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    seen = []

    @server.message_pattern(pattern)
    def kill(message: KillDragon) -> list[Item]:
        seen.append(message)
        return message.weapons

    with server, peers.client(pattern) as client:
        order = KillDragon(3, [Item("sword", 2.5, magic=True), Item("bow", 1)])
        answer = client.send(pattern, order, timeout=PATIENCE, returns=list[Item])

    assert seen == [order]
    assert answer == order.weapons


NOT_STRICT = [
    ({"name": "sword", "price": 1, "magic": "false"}, "magic"),
    ({"name": "sword", "price": "1"}, "price"),
    ({"name": 5, "price": 1}, "name"),
    ({"price": 1}, "name"),
    ([], "Item"),
    ("sword", "Item"),
    (None, "Item"),
]


@pytest.mark.parametrize(("payload", "named"), NOT_STRICT, ids=lambda value: str(value)[:30])
def test_payload_that_does_not_fit_its_annotation_is_told_to_the_caller(
    peers: Peers, payload, named
):
    pattern = peers.topic(replies=1)
    server = peers.server()
    handled = []

    @server.message_pattern(pattern)
    def kill(item: Item):
        handled.append(item)

    with server, peers.client(pattern) as client, pytest.raises(RpcException, match=named):
        client.send(pattern, payload, timeout=PATIENCE)

    assert handled == []


def test_int_is_no_float_with_a_fraction(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def kill(order: KillDragon):
        return order.dragon_id

    refused = pytest.raises(RpcException, match="dragon_id")
    with server, peers.client(pattern) as client, refused:
        client.send(pattern, {"dragon_id": 5.9, "weapons": []}, timeout=PATIENCE)


def test_text_and_bytes_annotations_get_the_raw_body(peers: Peers, wire: Wire):
    as_text, as_bytes, as_dict = peers.topic(), peers.topic(), peers.topic()
    server = peers.server()
    seen: dict[str, Any] = {}

    @server.event_pattern(as_text)
    def text(event: str):
        seen["text"] = event

    @server.event_pattern(as_bytes)
    def raw(event: bytes):
        seen["bytes"] = event

    @server.event_pattern(as_dict)
    def parsed(event: dict[str, Any]):
        seen["dict"] = event

    with server:
        for topic in (as_text, as_bytes, as_dict):
            wire.produce(topic, b'{"a":1}')
        eventually(lambda: len(seen) == 3)

    assert seen == {"text": '{"a":1}', "bytes": b'{"a":1}', "dict": {"a": 1}}


# Out


OUTGOING: list[tuple[Any, bytes | None]] = [
    (None, None),
    ("text", b"text"),
    ("", b""),
    ("日本", "日本".encode()),
    (5, b"5"),
    (1.0, b"1"),
    (2.5, b"2.5"),
    (True, b"true"),
    (b"\x00\xff", b"\x00\xff"),
    ({}, b"{}"),
    ({"a": [1.0, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode()),
    ([1, "two"], b'[1,"two"]'),
    (("tuple",), b'["tuple"]'),
    (Item("sword", 2.5), b'{"name":"sword","price":2.5,"magic":false}'),
    (KillDragon(3, []), b'{"dragon_id":3,"weapons":[]}'),
    ({"realm": Realm.NEST, "price": Decimal("1.10")}, b'{"realm":"nest","price":"1.10"}'),
    (UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    ([datetime(2026, 1, 2, tzinfo=timezone.utc)], b'["2026-01-02T00:00:00.000Z"]'),
]


def test_payloads_are_written_as_nestjs_writes_them(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        client.emit_batch(topic, [payload for payload, _ in OUTGOING])

    assert [record.value for record in wire.records(topic)] == [value for _, value in OUTGOING]
    assert {(record.key, len(record.headers)) for record in wire.records(topic)} == {(None, 0)}


def test_message_says_everything_of_a_record(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=3)
    message = Message(
        value={"id": 1},
        key={"realm": "Nest"},
        headers=[("h", "text"), ("h", b"\x00\xff"), ("empty", "")],
        partition=2,
        timestamp=1_700_000_000_123,
    )

    with peers.client() as client:
        client.emit(topic, message)

    (record,) = wire.records(topic)
    assert record == (
        2,
        0,
        1_700_000_000_123,
        b'{"realm":"Nest"}',
        b'{"id":1}',
        [("h", b"text"), ("h", b"\x00\xff"), ("empty", b"")],
    )


def test_null_header_travels_in_both_directions(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        seen.append((context.message.raw_headers, context.message.headers))

    with server, peers.client() as client:
        client.emit(topic, Message(value="hero", headers=[("nothing", None)]))
        eventually(lambda: seen)

    assert seen == [([("nothing", None)], {"nothing": None})]


def test_mapping_with_key_or_value_is_an_envelope(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        client.emit(topic, {"key": "k", "value": {"x": 1}, "headers": {"realm": "Nest"}})
        client.emit(topic, Message(value={"key": "k", "value": 1}))
        client.emit(topic, {"headers": {"no": "envelope"}})

    written = [(record.key, record.value, record.headers) for record in wire.records(topic)]
    assert written == [
        (b"k", b'{"x":1}', [("realm", b"Nest")]),
        (None, b'{"key":"k","value":1}', []),
        (None, b'{"headers":{"no":"envelope"}}', []),
    ]


def test_mapping_that_is_half_an_envelope_is_refused_and_nothing_is_lost(peers: Peers, wire: Wire):
    topic = peers.topic()

    refused = pytest.raises(PayloadError, match=r"'price'.*Message\(value=\.\.\.\)")
    with peers.client() as client, refused:
        client.emit(topic, {"value": "sword", "price": 5})

    assert wire.ends(topic) == {0: 0}


BAD_HEADERS: list[tuple[Any, str]] = [
    ({"h": 5}, "'h'.*int"),
    ({"h": None}, "'h'.*NoneType"),
    ({"h": ["a", "b"]}, "'h'.*list"),
    ({"h": {"a": 1}}, "'h'.*dict"),
    ({5: "h"}, "header's name"),
    ({"": "h"}, "header's name"),
    ("text", "headers must be"),
]


@pytest.mark.parametrize(("headers", "told"), BAD_HEADERS, ids=lambda value: str(value)[:20])
def test_header_that_is_no_text_or_bytes_is_refused(peers: Peers, wire: Wire, headers, told):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        with pytest.raises(PayloadError, match=told):
            client.emit(pattern, Message(value="x", headers=headers))
        with pytest.raises(PayloadError, match=told):
            client.send(pattern, Message(value="x", headers=headers), timeout=PATIENCE)

    assert wire.ends(pattern) == {0: 0}


def test_objects_of_the_caller_are_never_changed(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    envelope = {"key": {"id": 1}, "value": {"x": [1]}, "headers": {"realm": "Nest"}}
    before = copy.deepcopy(envelope)

    with server, peers.client(pattern) as client:
        for _ in range(2):
            assert client.send(pattern, envelope, timeout=PATIENCE) == {"x": [1]}
            client.emit(pattern, envelope)

    assert envelope == before


# Replies as returns= asks


def test_reply_is_structured_as_returns_asks(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: [{"name": "sword", "price": 2}])

    with server, peers.client(pattern) as client:
        assert client.send(pattern, {}, timeout=PATIENCE) == [{"name": "sword", "price": 2}]
        typed = client.send(pattern, {}, timeout=PATIENCE, returns=list[Item])
        assert typed == [Item("sword", 2.0)]
        future = client.send_future(pattern, {}, timeout=PATIENCE, returns=list[Item])
        assert future.result(PATIENCE) == typed
        assert list(client.stream(pattern, {}, timeout=PATIENCE, returns=list[Item])) == [typed]
        raw = client.send(pattern, {}, timeout=PATIENCE, returns=bytes)
        assert raw == b'[{"name":"sword","price":2}]'


def test_reply_that_is_not_valid_for_returns_is_an_error_of_the_reply(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: {"name": "sword", "price": "dear"})

    with server, peers.client(pattern) as client:
        with pytest.raises(ReplyPayloadError, match=f"'{pattern}'.*price"):
            client.send(pattern, {}, timeout=PATIENCE, returns=Item)
        future = client.send_future(pattern, {}, timeout=PATIENCE, returns=Item)
        assert isinstance(future.exception(PATIENCE), ReplyPayloadError)
        assert client.send(pattern, {}, timeout=PATIENCE)["name"] == "sword"
