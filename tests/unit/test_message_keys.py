"""By what a message is the same for an idempotent handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kafka_patterns import (
    ConfigurationError,
    MemoryStore,
    Record,
    StoredReply,
    idempotent,
)
from kafka_patterns.message import HeaderPairs
from kafka_patterns.server.context import KafkaContext
from tests.unit.idempotent_handlers import (
    Delivery,
    context,
    deliver,
)


@attrs.define
class Order:
    id: int


def keys_of(run: Callable[[Any], None]) -> list[str]:
    keys: list[str] = []

    class Store:
        def claim(self, key: str) -> StoredReply:
            keys.append(key)
            return StoredReply('{"v":1,"value":{"json":null}}')

    run(Store())
    return keys


def deliver_from(handler: Any, topic: str, headers: HeaderPairs) -> None:
    delivery: Any = Delivery(Record(topic, 0, 5, 0, None, None, headers), expects_reply=False)
    deliver(handler, 1, KafkaContext(delivery))


def test_key_is_the_header_else_the_place():
    def run(store):
        @idempotent(store=store, scope="pay")
        def handle(payload):
            raise AssertionError

        deliver(handle, 1, context(5))
        deliver(handle, 1, context(5, key=b"order-1"))
        deliver(handle, 1, context(5, key=b""))
        deliver(handle, 1, context(5, key=b"\xff"))

    place = "pay:place:hero/0/5"
    assert keys_of(run) == [place, "pay:header:order-1", place, "pay:header-hex:ff"]


def test_message_in_a_retry_topic_is_the_one_it_was():
    origin: HeaderPairs = [
        ("kafka_original-topic", b"hero"),
        ("kafka_original-partition", (3).to_bytes(4, "big")),
        ("kafka_original-offset", (2**40).to_bytes(8, "big")),
    ]

    def run(store):
        @idempotent(store=store, scope="s")
        def handle(payload): ...

        for topic, headers in [
            *(("hero-group-retry-1", origin), ("hero-group-retry-1", [])),
            *(("other", origin), ("hero-retry-queue", origin)),
        ]:
            deliver_from(handle, topic, headers)

    assert keys_of(run) == [
        *("s:place:hero/3/1099511627776", "s:place:hero-group-retry-1/0/5"),
        *("s:place:other/0/5", "s:place:hero-retry-queue/0/5"),
    ]


@pytest.mark.parametrize(
    ("origin", "key"),
    [
        ("hero/0/3", "place:hero/0/3"),
        ("hero/0/5", "replayed:hero/0/5"),
        ("hero/0/6", "replayed:hero/0/6"),
        ("hero/1/3", "replayed:hero/1/3"),
        ("other/0/3", "replayed:other/0/3"),
        ("hero/0/" + "9" * 30, "replayed:hero/0/" + "9" * 30),
        ("hero/0/-3", "replayed:hero/0/-3"),
        ("nonsense", "replayed:nonsense"),
        ("", "place:hero/0/5"),
    ],
)
def test_replayed_message_is_one_that_stood_before_it(origin: str, key: str):
    def run(store):
        @idempotent(store=store, scope="s")
        def handle(payload): ...

        deliver_from(handle, "hero", [("kafka_patterns-replay-origin", origin.encode())])

    assert keys_of(run) == [f"s:{key}"]


@pytest.mark.parametrize(
    "sent", [b"hero/0/5", b"place:hero/0/5", b":place:hero/0/5", b"s:place:hero/0/5"]
)
def test_key_of_a_sender_is_no_place_and_no_key_of_another_handler(sent: bytes):
    def run(store):
        for scope in ("s", "s:header", "s:header:s"):
            handle = idempotent(store=store, scope=scope)(lambda payload: None)
            deliver(handle, 1, context(5))
            deliver(handle, 1, context(7, key=sent))

    keys = keys_of(run)
    assert len(set(keys)) == len(keys) == 6


def test_keys_that_are_not_text_are_no_text():
    def run(store):
        handle = idempotent(store=store, scope="s")(lambda payload: None)
        for key in (b"\xff", b"\\xff", b"ff", b"header-hex:ff", b"\x00\xff", b"\xc3\xbf"):
            deliver(handle, 1, context(7, key=key))

    keys = keys_of(run)
    assert len(set(keys)) == len(keys) == 6


def test_key_function_gets_payload_and_context_of_functions_and_methods():
    def by_id(payload, context):
        return f"{None if payload is None else payload.id}-{context.message.offset}"

    def run(store):
        @idempotent(store=store, key=by_id, scope="s")
        def function(order: Order): ...

        @idempotent(store=store, key=by_id, scope="s")
        def context_first(context: KafkaContext, order: Order): ...

        @idempotent(store=store, key=by_id, scope="s")
        def nothing(): ...

        class Controller:
            @idempotent(store=store, key=by_id, scope="s")
            def method(self, order: Order, ctx: KafkaContext): ...

            @idempotent(store=store, key=by_id, scope="s")
            def nothing(self): ...

            @staticmethod
            @idempotent(store=store, key=by_id, scope="s")
            def static(order: Order): ...

        controller = Controller()
        handlers = [function, context_first, nothing]
        handlers += [controller.method, controller.nothing, controller.static]
        for offset, handler in enumerate(handlers):
            deliver(handler, Order(7), context(offset))

    assert keys_of(run) == [
        "s:key:7-0",
        "s:key:7-1",
        "s:key:None-2",
        "s:key:7-3",
        "s:key:None-4",
        "s:key:7-5",
    ]


def test_handlers_that_share_a_store_stay_apart():
    store = MemoryStore()
    calls = []

    @idempotent(store=store)
    def one(event):
        calls.append("one")

    @idempotent(store=store)
    def other(event):
        calls.append("other")

    deliver(one, 1, context())
    deliver(other, 1, context())
    assert calls == ["one", "other"]


def test_long_keys_are_shortened_and_stay_apart():
    def run(store):
        @idempotent(store=store, key=lambda payload, _: payload)
        def handle(payload): ...

        deliver(handle, "x" * 1000 + "a", context())
        deliver(handle, "x" * 1000 + "b", context())

    one, other = keys_of(run)
    assert one != other
    assert max(len(one), len(other)) <= 255


@pytest.mark.parametrize("key", [None, "", b"", True, 1.5, object()])
def test_key_that_is_none_is_refused(key):
    @idempotent(store=MemoryStore(), key=lambda *_: key)
    def handle(payload): ...

    with pytest.raises(ConfigurationError, match="the key of an idempotent message"):
        deliver(handle, 1, context())
