"""Coroutines are refused wherever a function of the user's is taken, and never count as handled."""

from __future__ import annotations

import functools
import types
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from kafka_patterns import (
    Batch,
    ClientKafkaProxy,
    ConfigurationError,
    DatabaseStore,
    DeadLetter,
    KafkaContext,
    KafkaMaxRetryExceptionFilter,
    KafkaOptions,
    LoggingMiddleware,
    MemoryStore,
    Retry,
    RetryTopics,
    ServerKafka,
    TimingMiddleware,
    event_pattern,
    idempotent,
    inspect_dead_letters,
    message_pattern,
    replay,
    use_filters,
)
from kafka_patterns.client.futures import CallbackFuture
from kafka_patterns.consuming.drivers import ConsumerDriver
from kafka_patterns.headers import CORRELATION_ID, ERROR, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs
from kafka_patterns.serialization.json import JsonDeserializer, JsonSerializer
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.synchronous import is_async
from tests.unit.server_in_fake_time import ServerInFakeTime

TOPIC = "hero.paid"
REPLIES = "hero.paid.reply"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, REPLIES.encode())]


async def plain(*args: Any, **named: Any) -> None: ...


async def generator(*args: Any, **named: Any) -> Any:
    yield 1


@types.coroutine
def old_style(*args: Any, **named: Any) -> Iterator[None]:
    yield


def wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return call


class Called:
    async def __call__(self, *args: Any, **named: Any) -> None: ...


class CalledByAPartial:
    __call__ = functools.partialmethod(plain)


class WithMethods:
    async def method(self, *args: Any) -> None: ...

    @staticmethod
    async def static(*args: Any) -> None: ...

    @classmethod
    async def of_class(cls, *args: Any) -> None: ...

    partial = functools.partialmethod(method)


FORMS: dict[str, Any] = {
    "async def": plain,
    "async generator": generator,
    "types.coroutine": old_style,
    "method": WithMethods().method,
    "static method": WithMethods.static,
    "class method": WithMethods.of_class,
    "partial method": WithMethods().partial,
    "partial": functools.partial(plain, 1),
    "partial of a partial": functools.partial(functools.partial(plain, 1), named=2),
    "wraps": wrapper(plain),
    "wraps twice": wrapper(wrapper(generator)),
    "wraps of a partial": wrapper(functools.partial(plain)),
    "__call__": Called(),
    "__call__ by a partial": CalledByAPartial(),
    "partial of __call__": functools.partial(Called()),
    "lru_cache": functools.lru_cache(plain),
    "mock": AsyncMock(),
}


@pytest.mark.parametrize("form", FORMS)
def test_asynchronous_function_is_seen(form: str) -> None:
    assert is_async(FORMS[form])


@pytest.mark.parametrize(
    "function",
    [
        print,
        len,
        str,
        Called,
        Mock(),
        MagicMock(),
        wrapper(print),
        functools.partial(print),
        lambda: None,
        [].append,
        None,
    ],
)
def test_plain_function_is_not_taken_for_one(function: Any) -> None:
    assert not is_async(function)


def with_method(name: str, function: Any) -> Any:
    """An object with one method."""
    return type("Object", (), {name: staticmethod(function)})()


def server() -> ServerKafka:
    return ServerKafka({})


def client_that_names(function: Any) -> None:
    body = {"get_response_pattern_name": staticmethod(function)}
    type("Client", (ClientKafkaProxy,), body)({})


def subscribe(function: Any) -> None:
    server().status.subscribe(function)


def register_both(function: Any) -> None:
    server().add_controller(
        type("Controller", (), {"handle": event_pattern(TOPIC)(staticmethod(function))})()
    )


PLACES: dict[str, Callable[[Any], Any]] = {
    "message_pattern": message_pattern(TOPIC),
    "event_pattern": event_pattern(TOPIC),
    "batch": event_pattern(TOPIC, batch=Batch()),
    "controller": register_both,
    "server.message_pattern": server().message_pattern(TOPIC),
    "server.event_pattern": server().event_pattern(TOPIC),
    "use_filters": lambda f: use_filters(with_method("catch", f)),
    "use_global_filters": lambda f: server().use_global_filters(with_method("catch", f)),
    "skip_handler": lambda f: KafkaMaxRetryExceptionFilter(1, f),
    "retry_if": lambda f: Retry(retry_if=f),
    "backoff": lambda f: Retry(backoff=f),
    "RetryTopics": lambda f: RetryTopics(retry_if=f),
    "before": lambda f: server().add_middleware(with_method("before", f)),
    "around": lambda f: server().add_middleware(with_method("around", f)),
    "after": lambda f: server().add_middleware(with_method("after", f)),
    "idempotent": idempotent(store=MemoryStore()),
    "key function": lambda f: idempotent(store=MemoryStore(), key=f),
    "store": lambda f: idempotent(store=with_method("claim", f)),
    "DatabaseStore": DatabaseStore,
    "clock of a store": lambda f: MemoryStore(clock=f),
    "clock of a database": lambda f: DatabaseStore(print, clock=f),
    "clock of a log": lambda f: LoggingMiddleware(clock=f),
    "clock of timings": TimingMiddleware,
    "serializer": lambda f: KafkaOptions.of({"serializer": with_method("serialize", f)}),
    "deserializer": lambda f: KafkaOptions.of({"deserializer": with_method("deserialize", f)}),
    "serializer of a pattern": lambda f: server().message_pattern(
        TOPIC, serializer=with_method("serialize", f)
    )(print_payload),
    "deserializer of a pattern": lambda f: server().event_pattern(
        TOPIC, deserializer=with_method("deserialize", f)
    )(print_payload),
    "serializers of a client": lambda f: ClientKafkaProxy({}).use_serializers(
        TOPIC, with_method("serialize", f)
    ),
    "unstructure": JsonSerializer,
    "token provider": lambda f: KafkaOptions.of(
        {
            "client": {
                "sasl": {"mechanism": "oauthbearer", "token_provider": with_method("token", f)}
            }
        }
    ),
    "allow_reply_topic": lambda f: KafkaOptions.of({"run": {"allow_reply_topic": f}}),
    "native": lambda f: KafkaOptions.of({"producer": {"native": {"partitioner": f}}}),
    "status": subscribe,
    "future": lambda f: CallbackFuture(print).add_done_callback(f),
    "gather": lambda f: ClientKafkaProxy({}).gather(TOPIC, 1, until=f),
    "get_response_pattern_name": client_that_names,
    "run_on_consumer_thread": lambda f: ConsumerDriver(Mock(), Mock()).run_on_consumer_thread(f, 1),
    "replay": lambda f: replay("hero.paid-dlt", where=f),
    "inspect_dead_letters": lambda f: inspect_dead_letters("hero.paid-dlt", where=f),
}


def print_payload(payload: Any) -> None: ...


@pytest.mark.parametrize("form", ["async def", "async generator", "wraps of a partial", "__call__"])
@pytest.mark.parametrize("place", PLACES)
def test_asynchronous_function_is_refused_where_it_is_handed_over(place: str, form: str) -> None:
    with pytest.raises(ConfigurationError, match="async"):
        PLACES[place](FORMS[form])


# What only shows itself in the result


class Awaited:
    """Awaitable, and no coroutine."""

    def __await__(self) -> Any:
        yield


RESULTS: dict[str, Callable[[], Any]] = {
    "coroutine": plain,
    "async generator": generator,
    "awaitable": Awaited,
    "old style": old_style,
}

every_result = pytest.mark.parametrize("make", RESULTS.values(), ids=RESULTS)


def run_event(*handlers: Any, **options: Any) -> ServerInFakeTime:
    running = ServerInFakeTime(*handlers, **options)
    running.feed(TOPIC, b"1")
    running.run(until=100)
    return running


def run_request(*handlers: Any, **options: Any) -> list[bytes | None]:
    """The error headers of the replies."""
    running = ServerInFakeTime(*handlers, **options)
    running.feed(TOPIC, b"1", headers=REQUEST)
    running.run(until=100)
    assert running.position(TOPIC) == 1
    return [dict(message.headers).get(ERROR) for _, message in running.producer.sent]


@every_result
def test_event_whose_handler_returns_an_awaitable_is_not_handled(make: Any) -> None:
    @event_pattern(TOPIC)
    def on_paid(event: Any) -> Any:
        return make()

    running = run_event(on_paid)

    assert running.position(TOPIC) == 0
    assert running.counters.snapshot()["failed"] > 1


@every_result
def test_it_becomes_a_dead_letter_as_other_failures_do(make: Any) -> None:
    @event_pattern(TOPIC, dead_letter=DeadLetter(), retry=Retry(max_attempts=2))
    def on_paid(event: Any) -> Any:
        return make()

    assert [topic for topic, _ in run_event(on_paid).producer.sent] == ["hero.paid-dlt"]


@every_result
def test_batch_handler_that_returns_an_awaitable_failed(make: Any) -> None:
    @event_pattern(TOPIC, batch=Batch(max_size=1, max_wait=0))
    def on_paid(events: list[Any]) -> Any:
        return make()

    assert run_event(on_paid).position(TOPIC) == 0


@every_result
def test_request_whose_handler_returns_an_awaitable_is_answered(make: Any) -> None:
    @message_pattern(TOPIC)
    def on_pay(payload: Any) -> Any:
        return make()

    (error,) = run_request(on_pay)
    assert error is not None


@every_result
def test_generator_that_yields_awaitables_failed(make: Any) -> None:
    @event_pattern(TOPIC)
    def on_paid(event: Any) -> Iterator[Any]:
        yield make()

    @message_pattern(TOPIC)
    def on_pay(payload: Any) -> Iterator[Any]:
        yield make()

    assert run_event(on_paid).position(TOPIC) == 0
    assert run_request(on_pay)[-1] is not None


@every_result
def test_acknowledgement_with_an_awaitable_is_a_failure(make: Any) -> None:
    @message_pattern(TOPIC)
    def on_pay(payload: Any, context: KafkaContext) -> None:
        context.defer().done(make())

    (error,) = run_request(on_pay)
    assert error is not None


@every_result
@pytest.mark.parametrize("hook", ["before", "around"])
def test_middleware_that_returns_an_awaitable_failed(hook: str, make: Any) -> None:
    @event_pattern(TOPIC)
    def on_paid(event: Any) -> None: ...

    running = run_event(on_paid, middleware=[with_method(hook, lambda *args: make())])

    assert running.position(TOPIC) == 0


@every_result
def test_filter_that_returns_an_awaitable_failed(make: Any) -> None:
    @event_pattern(TOPIC)
    def on_paid(event: Any) -> None:
        raise ValueError

    running = run_event(on_paid, filters=[with_method("catch", lambda *args: make())])

    assert running.position(TOPIC) == 0


@every_result
def test_reply_topic_is_not_allowed_by_an_awaitable(make: Any) -> None:
    @message_pattern(TOPIC)
    def on_pay(payload: Any) -> None: ...

    assert run_request(on_pay, allow_reply_topic=lambda topic: make()) == []


@every_result
def test_payload_that_is_an_awaitable_cannot_be_read(make: Any) -> None:
    @event_pattern(TOPIC)
    def on_paid(event: Any) -> None: ...

    deserializer = with_method("deserialize", lambda record: make())
    running = run_event(on_paid, serialization=Serialization(None, deserializer))

    assert running.position(TOPIC) == 0


@every_result
def test_reply_that_is_written_as_an_awaitable_is_an_error(make: Any) -> None:
    @message_pattern(TOPIC)
    def on_pay(payload: Any) -> None: ...

    serializer = with_method("serialize", lambda payload, **named: make())
    (error,) = run_request(on_pay, serialization=Serialization(serializer, JsonDeserializer()))
    assert error is not None


@every_result
@pytest.mark.parametrize("policy", ["retry_if", "backoff"])
def test_policy_that_returns_an_awaitable_failed(policy: str, make: Any) -> None:
    """One that fails counts as one that waits: nothing is dropped by it."""
    chosen: dict[str, Any] = {policy: lambda *args: make()}

    @event_pattern(TOPIC, retry=Retry(max_attempts=None, **chosen))
    def on_paid(event: Any) -> None:
        raise ValueError

    assert run_event(on_paid).position(TOPIC) == 0


@every_result
def test_skip_handler_that_returns_an_awaitable_is_told_in_the_log(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @event_pattern(TOPIC)
    @use_filters(KafkaMaxRetryExceptionFilter(0, lambda message: make()))
    def on_paid(event: Any) -> None:
        raise ValueError

    run_event(on_paid)

    assert "the skip handler failed" in caplog.text


@every_result
def test_key_that_is_an_awaitable_is_a_failure(make: Any) -> None:
    calls = []

    @event_pattern(TOPIC)
    @idempotent(store=MemoryStore(), key=lambda event, context: make())
    def on_paid(event: Any) -> None:
        calls.append(event)

    assert run_event(on_paid).position(TOPIC) == 0
    assert calls == []


@every_result
def test_idempotent_handler_that_returns_an_awaitable_keeps_no_reply(make: Any) -> None:
    @event_pattern(TOPIC)
    @idempotent(store=MemoryStore())
    def on_paid(event: Any) -> Any:
        return make()

    assert run_event(on_paid).position(TOPIC) == 0


@every_result
def test_callback_that_returns_an_awaitable_failed(make: Any) -> None:
    callbacks: list[Callable[[], object]] = []
    future: CallbackFuture[int] = CallbackFuture(callbacks.append)

    def callback(done: Future[int]) -> Awaitable[None]:
        awaitable: Awaitable[None] = make()
        return awaitable

    future.add_done_callback(callback)
    future.end_with(1)

    with pytest.raises(ConfigurationError, match="returned an awaitable"):
        callbacks[0]()
