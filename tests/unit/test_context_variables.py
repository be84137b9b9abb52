"""What a handler sets in a ``contextvars`` variable is there for its own call, and no other."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from kafka_patterns import (
    Batch,
    KafkaContext,
    Retry,
    event_pattern,
    fixed,
    message_pattern,
    use_filters,
)
from kafka_patterns.consuming.callbacks import CallbackThread
from kafka_patterns.headers import CORRELATION_ID, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs, Message
from kafka_patterns.serialization.registry import Serialization
from tests.support.waiting import eventually
from tests.unit.server_in_fake_time import ServerInFakeTime

TOPIC = "hero.paid"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, b"hero.paid.reply")]

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
seen: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    assert tenant.get() == "nobody"  # the thread that works on messages is this one


def look_and_set(value: str) -> None:
    """Note what is set, and set something else."""
    seen.append(tenant.get())
    tenant.set(value)


def feed(server: ServerInFakeTime, *values: bytes, headers: HeaderPairs | None = None) -> None:
    server.feed(TOPIC, *values, headers=headers)
    server.run(until=100)


def test_next_message_sees_nothing_of_the_last_one() -> None:
    @event_pattern(TOPIC)
    def on_paid(event: str) -> None:
        look_and_set(event)

    feed(ServerInFakeTime(on_paid), b"a", b"b", b"c")

    assert seen == ["nobody"] * 3


def test_next_try_sees_nothing_of_the_last_one() -> None:
    @event_pattern(TOPIC, retry=Retry(max_attempts=3, backoff=fixed(1)))
    def on_paid(event: str) -> None:
        look_and_set(event)
        raise ValueError

    feed(ServerInFakeTime(on_paid), b"a")

    assert seen == ["nobody"] * 3


def test_handlers_of_one_topic_see_nothing_of_each_other() -> None:
    @event_pattern(TOPIC)
    def first(event: str) -> None:
        look_and_set("first")

    @event_pattern(TOPIC)
    def second(event: str) -> None:
        look_and_set("second")

    feed(ServerInFakeTime(first, second), b"a", b"b")

    assert seen == ["nobody"] * 4


@pytest.mark.parametrize("middleware", [[], [type("Nothing", (), {"before": lambda *_: None})()]])
def test_body_of_a_generator_is_part_of_its_call(middleware: list[Any]) -> None:
    @message_pattern(TOPIC)
    def on_pay(payload: str) -> Iterator[str]:
        look_and_set(payload)
        yield tenant.get()
        yield tenant.get()

    server = ServerInFakeTime(on_pay, middleware=middleware)
    feed(server, b"a", b"b", headers=REQUEST)

    assert seen == ["nobody"] * 2
    assert [message.value for _, message in server.producer.sent if message.value] == [
        b"a",
        b"a",
        b"b",
        b"b",
    ]


def test_batch_sees_nothing_of_the_last_one() -> None:
    @event_pattern(TOPIC, batch=Batch(max_size=1, max_wait=0))
    def on_paid(events: list[str]) -> None:
        look_and_set(events[0])

    feed(ServerInFakeTime(on_paid), b"a", b"b")

    assert seen == ["nobody"] * 2


def test_hooks_filters_and_handler_of_one_call_share_their_variables() -> None:
    class Hooks:
        def before(self, context: Any) -> None:
            look_and_set("before")

        def around(self, context: Any, call: Callable[[], Any]) -> Any:
            look_and_set("around")
            return call()

        def after(self, context: Any, result: Any = None, exception: Any = None) -> None:
            look_and_set("after")

    class Filter:
        def catch(self, exception: Any, context: Any) -> None:
            look_and_set("filter")

    @event_pattern(TOPIC)
    @use_filters(Filter())
    def on_paid(event: str) -> None:
        look_and_set("handler")
        raise ValueError

    feed(ServerInFakeTime(on_paid, middleware=[Hooks()]), b"a", b"b")

    assert seen == ["nobody", "before", "around", "handler", "filter"] * 2


def test_serializers_and_predicates_belong_to_the_call() -> None:
    class Both:
        def deserialize(self, record: Any) -> Any:
            look_and_set("deserializer")
            return "a"

        def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
            look_and_set("serializer")
            return Message(value=b"a", headers=[])

    def allow(topic: str) -> bool:
        look_and_set("allow")
        return True

    @message_pattern(TOPIC)
    def on_pay(payload: Any) -> str:
        return "paid"

    server = ServerInFakeTime(
        on_pay, serialization=Serialization(Both(), Both()), allow_reply_topic=allow
    )
    feed(server, b"a", b"b", headers=REQUEST)

    assert seen == ["nobody", "allow", "deserializer"] * 2


def test_decimal_precision_of_one_message_is_its_own() -> None:
    precisions = []

    @event_pattern(TOPIC)
    def on_paid(event: str) -> None:
        precisions.append(decimal.getcontext().prec)
        decimal.getcontext().prec = 3

    # A thread's own context is empty at first, as this one is.
    Context().run(feed, ServerInFakeTime(on_paid), b"a", b"b")

    assert len(set(precisions)) == 1
    assert precisions[0] != 3


class TestDeferral:
    class Filter:
        def catch(self, exception: Any, context: Any) -> None:
            look_and_set("filter")

    def test_whoever_finishes_a_message_later_keeps_its_own(self) -> None:
        later: list[Any] = []

        @event_pattern(TOPIC)
        @use_filters(self.Filter())
        def on_paid(event: str, context: KafkaContext) -> None:
            tenant.set(event)
            later.append(context.defer())

        feed(ServerInFakeTime(on_paid), b"a")

        def finish() -> str:
            tenant.set("finisher")
            later[0].failed(ValueError())
            return tenant.get()

        assert copy_context().run(finish) == "finisher"
        assert seen == ["a"]  # the filter is part of the handler's call

    def test_message_may_be_finished_while_its_handler_runs(self) -> None:
        @event_pattern(TOPIC)
        @use_filters(self.Filter())
        def on_paid(event: str, context: KafkaContext) -> None:
            tenant.set(event)
            context.defer().failed(ValueError())
            seen.append(tenant.get())

        server = ServerInFakeTime(on_paid)
        feed(server, b"a")

        assert seen == ["a", "a"]
        assert server.position(TOPIC) == 1


def test_callbacks_see_nothing_of_each_other() -> None:
    callbacks = CallbackThread("test-callbacks")

    callbacks.submit(lambda: look_and_set("first"))
    callbacks.submit(lambda: look_and_set("second"))

    eventually(lambda: seen == ["nobody", "nobody"])
    callbacks.close(5)
