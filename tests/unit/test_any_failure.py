"""Whatever a handler raises is one failure like any other: asked of filters and the policy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns import (
    Batch,
    BatchItemFailed,
    DeadLetter,
    KafkaContext,
    KafkaMaxRetryExceptionFilter,
    Middleware,
    Retry,
    RetryTopics,
    event_pattern,
    fixed,
    message_pattern,
    use_filters,
)
from kafka_patterns.headers import CORRELATION_ID, ERROR, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs, Message
from kafka_patterns.serialization.json import JsonDeserializer
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.assigned import AssignedPartition
from kafka_patterns.server.work import WorkItem
from tests.unit.server_in_fake_time import NO_RECORD, NO_ROUTE, ServerInFakeTime

TOPIC = "hero.paid"
LETTERS = "hero.paid-dlt"
REPLIES = "hero.paid.reply"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, REPLIES.encode())]
INTERNAL = b'{"status":"error","message":"Internal server error"}'


class GreenletTimeout(BaseException):
    """As gevent's ``Timeout``."""


KINDS: list[type[BaseException]] = [
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    GreenletTimeout,
]

every_kind = pytest.mark.parametrize("kind", KINDS)


def errors_sent(server: ServerInFakeTime) -> list[bytes | None]:
    """The error headers of the replies."""
    return [
        dict(message.headers).get(ERROR)
        for topic, message in server.producer.sent
        if topic == REPLIES
    ]


def topics_sent(server: ServerInFakeTime) -> list[str]:
    return [topic for topic, _ in server.producer.sent]


class Answers:
    """A filter for everything."""

    def __init__(self) -> None:
        self.caught: list[BaseException] = []

    def catch(self, exception: Any, context: Any) -> Any:
        self.caught.append(exception)
        return {"by": "filter"}


class TestEvents:
    @every_kind
    def test_policy_ends_the_tries(self, kind: type[BaseException]) -> None:
        tries = []

        @event_pattern(TOPIC, retry=Retry(max_attempts=3, backoff=fixed(1)))
        def on_paid(event: Any, context: KafkaContext) -> None:
            tries.append(context.attempt)
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert tries == [1, 2, 3]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_policy_is_asked_for_the_type(self, kind: type[BaseException]) -> None:
        tries = []

        @event_pattern(TOPIC, retry=Retry(unless=kind))
        def on_paid(event: Any) -> None:
            tries.append(event)
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert tries == ["1"]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_it_becomes_a_dead_letter(self, kind: type[BaseException]) -> None:
        @event_pattern(TOPIC, retry=Retry(max_attempts=2), dead_letter=DeadLetter())
        def on_paid(event: Any) -> None:
            raise kind("no")

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert topics_sent(server) == [LETTERS]
        assert server.position(TOPIC) == 1

    def test_it_goes_through_the_retry_topics(self) -> None:
        @event_pattern(TOPIC, retry=RetryTopics(delays=(1,)))
        def on_paid(event: Any) -> None:
            raise SystemExit

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert topics_sent(server) == ["hero.paid-payments-retry-1"]

    @every_kind
    def test_filter_may_end_it(self, kind: type[BaseException]) -> None:
        answers = Answers()

        @event_pattern(TOPIC)
        @use_filters(answers)
        def on_paid(event: Any) -> None:
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert [type(error) for error in answers.caught] == [kind]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_max_retry_filter_counts_it(self, kind: type[BaseException]) -> None:
        tries, skipped = [], []

        def skip(message: Any) -> None:
            skipped.append(message.offset)
            raise kind

        @event_pattern(TOPIC)
        @use_filters(KafkaMaxRetryExceptionFilter(2, skip))
        def on_paid(event: Any) -> None:
            tries.append(event)
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1", b"2")
        server.run(until=100)

        assert tries == ["1"] * 3 + ["2"] * 3
        assert skipped == [0, 1]
        assert server.position(TOPIC) == 2

    @every_kind
    def test_what_a_filter_raises_is_decided_on_as_well(self, kind: type[BaseException]) -> None:
        class Raises:
            def catch(self, exception: Any, context: Any) -> Any:
                raise kind

        @event_pattern(TOPIC, retry=Retry(max_attempts=2), dead_letter=DeadLetter())
        @use_filters(Raises())
        def on_paid(event: Any) -> None:
            raise ValueError

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert topics_sent(server) == [LETTERS]

    def test_other_handlers_of_the_topic_are_not_called_again(self) -> None:
        calls = []

        @event_pattern(TOPIC, retry=Retry(max_attempts=3))
        def first(event: Any) -> None:
            calls.append("first")
            raise SystemExit

        @event_pattern(TOPIC)
        def second(event: Any) -> None:
            calls.append("second")

        server = ServerInFakeTime(first, second)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert calls == ["first", "second", "first", "first"]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_body_of_a_generator_fails_as_well(self, kind: type[BaseException]) -> None:
        @event_pattern(TOPIC, retry=Retry(max_attempts=2), dead_letter=DeadLetter())
        def on_paid(event: Any) -> Iterator[int]:
            yield 1
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert topics_sent(server) == [LETTERS]

    def test_failing_policy_waits_and_harms_no_other(self) -> None:
        def exits(error: Any) -> bool:
            raise SystemExit

        tries = []

        @event_pattern(TOPIC, retry=Retry(retry_if=exits))
        def on_paid(event: Any) -> None:
            tries.append(event)
            if len(tries) < 3:
                raise ValueError

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert tries == ["1", "1", "1"]
        assert server.position(TOPIC) == 1


class TestRequests:
    @every_kind
    def test_it_is_answered(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> None:
            raise kind("secret")

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert errors_sent(server) == [INTERNAL]
        assert server.position(TOPIC) == 1

    def test_policy_that_asks_for_it_tries_again(self) -> None:
        tries = []

        @message_pattern(TOPIC, retry=Retry(on=SystemExit, max_attempts=3))
        def on_pay(payload: Any) -> str:
            tries.append(payload)
            if len(tries) < 3:
                raise SystemExit
            return "paid"

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert len(tries) == 3
        assert errors_sent(server) == [None]

    @every_kind
    def test_filter_makes_the_reply(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        @use_filters(Answers())
        def on_pay(payload: Any) -> None:
            raise kind

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert [message.value for _, message in server.producer.sent] == [b'{"by":"filter"}']

    @every_kind
    def test_error_ends_a_stream_that_has_begun(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> Iterator[str]:
            yield "one"
            raise kind

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert errors_sent(server) == [None, INTERNAL]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_it_becomes_a_dead_letter_beside_its_reply(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC, dead_letter=DeadLetter())
        def on_pay(payload: Any) -> None:
            raise kind

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert topics_sent(server) == [REPLIES, LETTERS]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_predicate_of_reply_topics_that_fails_refuses(self, kind: type[BaseException]) -> None:
        calls = []

        def allow(topic: str) -> bool:
            raise kind

        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> None:
            calls.append(payload)

        server = ServerInFakeTime(on_pay, allow_reply_topic=allow)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert calls == ["1"]
        assert server.producer.sent == []
        assert server.position(TOPIC) == 1


class Failing:
    """A serializer and deserializer that fails as it is told."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        raise self.kind

    def deserialize(self, record: Any) -> Any:
        raise self.kind


class TestSerializers:
    @every_kind
    def test_reply_that_cannot_be_written_is_an_error(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> str:
            return "paid"

        server = ServerInFakeTime(
            on_pay, serialization=Serialization(Failing(kind), JsonDeserializer())
        )
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        (error,) = errors_sent(server)
        assert error is not None
        assert server.position(TOPIC) == 1

    @every_kind
    def test_unreadable_request_is_answered(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> str:
            return "paid"

        server = ServerInFakeTime(on_pay, serialization=Serialization(None, Failing(kind)))
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        (error,) = errors_sent(server)
        assert error is not None
        assert b"deserializer" in error

    @every_kind
    @pytest.mark.parametrize("batch", [None, Batch(max_size=2, max_wait=0)])
    def test_unreadable_event_goes_the_way_of_poison(
        self, kind: type[BaseException], batch: Batch | None
    ) -> None:
        @event_pattern(TOPIC, batch=batch)
        def on_paid(event: list[Any]) -> None:
            raise AssertionError

        server = ServerInFakeTime(
            on_paid, on_poison="skip", serialization=Serialization(None, Failing(kind))
        )
        server.feed(TOPIC, b"[]", b"[]")
        server.run(until=100)

        assert server.counters.snapshot()["poison_skipped"] == 2
        assert server.position(TOPIC) == 2


class TestBatches:
    @every_kind
    def test_policy_ends_the_tries(self, kind: type[BaseException]) -> None:
        tries = []

        @event_pattern(
            TOPIC,
            batch=Batch(max_size=2, max_wait=0),
            retry=Retry(max_attempts=2),
            dead_letter=DeadLetter(),
        )
        def on_paid(events: list[Any]) -> None:
            tries.append(events)
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1", b"2")
        server.run(until=100)

        assert tries == [["1", "2"]] * 2
        assert topics_sent(server) == [LETTERS] * 2
        assert server.position(TOPIC) == 2

    @every_kind
    def test_filter_may_end_it(self, kind: type[BaseException]) -> None:
        @event_pattern(TOPIC, batch=Batch(max_size=2, max_wait=0))
        @use_filters(Answers())
        def on_paid(events: list[Any]) -> None:
            raise kind

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1", b"2")
        server.run(until=100)

        assert server.position(TOPIC) == 2

    @every_kind
    def test_cause_of_one_item_counts(self, kind: type[BaseException]) -> None:
        @event_pattern(
            TOPIC,
            batch=Batch(max_size=2, max_wait=0),
            retry=Retry(unless=kind),
            dead_letter=DeadLetter(),
        )
        def on_paid(events: list[Any]) -> None:
            raise BatchItemFailed(len(events) - 1, kind())

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1", b"2")
        server.run(until=100)

        assert topics_sent(server) == [LETTERS]
        assert server.position(TOPIC) == 2


class TestDeferral:
    @every_kind
    def test_failure_told_later_is_decided_on(self, kind: type[BaseException]) -> None:
        later: list[Any] = []

        @event_pattern(TOPIC, retry=Retry(max_attempts=2), dead_letter=DeadLetter())
        def on_paid(event: Any, context: KafkaContext) -> None:
            later.append(context.defer())

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run(until=100)
        later[0].failed(kind("no"))
        server.run(until=100)
        later[1].failed(kind("no"))
        server.run(until=100)

        assert topics_sent(server) == [LETTERS]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_filter_that_fails_later_is_decided_on(self, kind: type[BaseException]) -> None:
        later: list[Any] = []

        class Raises:
            def catch(self, exception: Any, context: Any) -> Any:
                raise kind

        @message_pattern(TOPIC)
        @use_filters(Raises())
        def on_pay(payload: Any, context: KafkaContext) -> None:
            later.append(context.defer())

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)
        later[0].failed(ValueError())
        server.run(until=100)

        assert errors_sent(server) == [INTERNAL]
        assert server.position(TOPIC) == 1

    def test_fault_of_ours_leaves_no_lane_standing(self) -> None:
        """Whoever acknowledges does so once: what breaks off then must come again by itself."""
        later: list[Any] = []

        @message_pattern(TOPIC)
        def on_pay(payload: Any, context: KafkaContext) -> None:
            later.append(context.defer())

        def broken(topic: str, message: Any) -> None:
            server.producer.refuse = lambda *_: None
            raise RuntimeError("a fault of ours")

        server = ServerInFakeTime(on_pay)
        server.producer.refuse = broken
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)
        later[0].failed(ValueError())
        server.run(until=100)
        later[1].done("paid")
        server.run(until=100)

        assert errors_sent(server) == [None]
        assert server.position(TOPIC) == 1

    def test_handlers_that_end_at_once_keep_what_each_came_to(self) -> None:
        """Two that deferred an event fail in two threads: neither dead letter is forgotten."""
        item = WorkItem(NO_RECORD, AssignedPartition(*3 * [NO_RECORD]), NO_ROUTE)
        other: list[threading.Thread] = []

        class Reading(dict[Any, Any]):
            """While it is read, the other handler gives the item up as well."""

            def items(self) -> Any:
                self._let_the_other_in()
                return super().items()

            def __iter__(self) -> Any:
                self._let_the_other_in()
                return super().__iter__()

            def _let_the_other_in(self) -> None:
                if not other:
                    put = threading.Thread(target=item.put_letter, args=("other", NO_RECORD))
                    other.append(put)
                    put.start()
                    put.join(0.1)  # it waits for us, or has gone between

        item.letters = Reading({"first": NO_RECORD})
        item.drop_letter("first")
        other[0].join(5)

        assert dict(item.letters) == {"other": NO_RECORD}

    @every_kind
    def test_handler_that_raises_after_all_is_decided_on(self, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any, context: KafkaContext) -> None:
            context.defer()
            raise kind

        server = ServerInFakeTime(on_pay)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert errors_sent(server) == [INTERNAL]


def raising(hook: str, kind: type[BaseException]) -> Any:
    """A middleware of which one hook fails."""

    def fail(self: Any, *args: Any, **named: Any) -> None:
        raise kind

    return type("Raising", (Middleware,), {hook: fail})()


class TestMiddleware:
    @every_kind
    @pytest.mark.parametrize("hook", ["before", "around"])
    def test_request_is_answered(self, hook: str, kind: type[BaseException]) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> str:
            return "paid"

        server = ServerInFakeTime(on_pay, middleware=[raising(hook, kind)])
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert errors_sent(server) == [INTERNAL]

    @every_kind
    @pytest.mark.parametrize("hook", ["before", "around"])
    def test_filter_is_asked(self, hook: str, kind: type[BaseException]) -> None:
        @event_pattern(TOPIC)
        def on_paid(event: Any) -> None:
            """Not called."""

        answers = Answers()
        server = ServerInFakeTime(on_paid, middleware=[raising(hook, kind)], filters=[answers])
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert [type(error) for error in answers.caught] == [kind]
        assert server.position(TOPIC) == 1

    @every_kind
    def test_what_the_last_hook_raises_changes_nothing(self, kind: type[BaseException]) -> None:
        calls = []

        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> str:
            calls.append(payload)
            return "paid"

        server = ServerInFakeTime(on_pay, middleware=[raising("after", kind)])
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert calls == ["1"]
        assert [message.value for _, message in server.producer.sent] == [b"paid"]

    @every_kind
    def test_filter_sees_what_the_handler_raised_within(self, kind: type[BaseException]) -> None:
        endings: list[Any] = []

        class Sees(Middleware):
            def around(self, context: Any, call: Callable[[], Any]) -> Any:
                result = call()
                endings.append(result)
                return result

        @message_pattern(TOPIC)
        @use_filters(Answers())
        def on_pay(payload: Any) -> None:
            raise kind

        server = ServerInFakeTime(on_pay, middleware=[Sees()])
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run(until=100)

        assert endings == [{"by": "filter"}]


class Unspeakable(Exception):
    """An exception whose own text fails."""

    def __str__(self) -> str:
        raise SystemExit


def test_exception_without_a_text_is_a_failure_like_others() -> None:
    @message_pattern(TOPIC, dead_letter=DeadLetter())
    def on_pay(payload: Any) -> None:
        raise Unspeakable

    server = ServerInFakeTime(on_pay)
    server.feed(TOPIC, b"1", headers=REQUEST)
    server.run(until=100)

    assert topics_sent(server) == [REPLIES, LETTERS]
    assert server.position(TOPIC) == 1
