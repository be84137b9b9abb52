"""Idempotent handlers: stores, and who may run when."""

from __future__ import annotations

import inspect
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from kafka_patterns import (
    ConfigurationError,
    DatabaseStore,
    KafkaRetriableException,
    MemoryStore,
    StoredReply,
    event_pattern,
    idempotent,
    use_filters,
)
from kafka_patterns.failures.filters import filters_of
from kafka_patterns.server.binding import bind
from kafka_patterns.server.context import KafkaContext
from tests.support.waiting import eventually
from tests.unit.idempotent_handlers import (
    PATIENCE,
    Clock,
    Databases,
    context,
    database_store,
    databases_in,
    deliver,
)


@attrs.define
class Order:
    id: int


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Databases]:
    with databases_in(tmp_path) as databases:
        yield databases


@pytest.fixture(params=["memory", "database"])
def make_store(request, database: Databases) -> Callable[..., Any]:
    if request.param == "memory":
        return MemoryStore
    return lambda **options: database_store(database, **options)


# Both stores


def test_duplicate_gets_the_first_reply_and_runs_nothing(make_store):
    calls = []

    @idempotent(store=make_store())
    def pay(order, context):
        calls.append(order)
        return {"paid": order}

    assert deliver(pay, 1, context(0)) == {"paid": 1}
    assert deliver(pay, 1, context(0)) == {"paid": 1}
    assert deliver(pay, 1, context(1)) == {"paid": 1}
    assert calls == [1, 1]


def test_handler_that_raises_gives_its_claim_back(make_store):
    attempts = []

    @idempotent(store=make_store())
    def pay(order, context):
        attempts.append(order)
        if len(attempts) == 1:
            raise ValueError("no money")
        return "paid"

    with pytest.raises(ValueError, match="no money"):
        deliver(pay, 1, context())
    assert deliver(pay, 1, context()) == "paid"
    assert len(attempts) == 2


def test_replies_expire(make_store):
    clock, calls = Clock(), []

    @idempotent(store=make_store(ttl=10, clock=clock))
    def pay(order, context):
        calls.append(order)

    deliver(pay, 1, context())
    clock.now += 9
    deliver(pay, 1, context())
    assert calls == [1]
    clock.now += 2
    deliver(pay, 1, context())
    assert calls == [1, 1]


def test_reply_that_cannot_be_kept_is_a_failure(make_store):
    calls = []

    @idempotent(store=make_store())
    def pay(order, context):
        calls.append(order)
        return object()

    for _ in range(2):
        with pytest.raises(ValueError, match="object"):
            deliver(pay, 1, context())
    deliver(pay, 2, context(5, expects_reply=False))  # what an event returns is dropped
    deliver(pay, 2, context(5, expects_reply=False))
    assert calls == [1, 1, 2]


# Two at once


def test_second_copy_waits_for_the_reply_of_the_first():
    entered, leave, calls = threading.Event(), threading.Event(), []

    @idempotent(store=MemoryStore(wait=PATIENCE))
    def pay(order, context):
        calls.append(order)
        entered.set()
        leave.wait(PATIENCE)
        return "paid"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deliver, pay, 1, context())
        entered.wait(PATIENCE)
        second = pool.submit(deliver, pay, 1, context())
        assert not second.done()
        leave.set()
        assert (first.result(PATIENCE), second.result(PATIENCE)) == ("paid", "paid")
    assert calls == [1]


def test_second_copy_runs_if_the_first_failed():
    entered, leave, calls = threading.Event(), threading.Event(), []

    @idempotent(store=MemoryStore(wait=PATIENCE))
    def pay(order, context):
        calls.append(order)
        if len(calls) == 1:
            entered.set()
            leave.wait(PATIENCE)
            raise ValueError("no money")
        return "paid"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deliver, pay, 1, context())
        entered.wait(PATIENCE)
        second = pool.submit(deliver, pay, 1, context())
        leave.set()
        assert second.result(PATIENCE) == "paid"
        assert isinstance(first.exception(PATIENCE), ValueError)


def test_second_copy_waits_no_longer_than_the_store_says(make_store):
    store = make_store(wait=0)

    @idempotent(store=store)
    def pay(order, context):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(pay_again).result(PATIENCE)

    def pay_again():
        with pytest.raises(KafkaRetriableException):
            deliver(pay, 1, context())

    deliver(pay, 1, context())


# In memory


def test_memory_store_is_bounded():
    store = MemoryStore(max_entries=2)
    calls = []

    @idempotent(store=store)
    def pay(order, context):
        calls.append(order)

    for offset in (0, 1, 2, 2, 1, 0):
        deliver(pay, offset, context(offset))

    assert len(store) == 2
    assert calls == [0, 1, 2, 0]


# The decorated function


def test_signature_stays_what_binding_needs():
    store = MemoryStore()

    @event_pattern("hero")
    @idempotent(store=store)
    @use_filters()
    def handle(order: Order) -> None:
        """Handle an order."""

    binding = bind(handle)
    assert (binding.payload, binding.annotation, binding.context) == ("order", Order, "context")
    assert handle.__doc__ == "Handle an order."
    assert list(inspect.signature(handle).parameters) == ["order", "context"]
    assert filters_of(handle) == ()


def test_function_called_by_hand_is_as_it_was():
    @idempotent(store=MemoryStore())
    def double(number):
        return number * 2

    assert [double(2), double(2), double(3)] == [4, 4, 6]


def test_what_cannot_be_idempotent_is_refused():
    decorate = idempotent(store=MemoryStore())
    no_store: Any = object()

    def generator(payload):
        yield payload

    def returns_generator(payload):
        return generator(payload)

    def defers(payload, context: KafkaContext):
        context.defer()

    marked = event_pattern("hero")(lambda event: None)
    refused: list[Any] = [generator, marked, staticmethod(len), 5]
    for function in refused:
        with pytest.raises(ConfigurationError):
            decorate(function)
    for function in (returns_generator, defers):
        with pytest.raises(ConfigurationError):
            deliver(decorate(function), 1, context())
    with pytest.raises(ConfigurationError, match="has no claim"):
        idempotent(store=no_store)


def test_stores_that_cannot_work_are_refused(tmp_path: Path):
    connection: Any = sqlite3.connect(tmp_path / "orders.db")
    with pytest.raises(ConfigurationError, match="one connection cannot serve several threads"):
        DatabaseStore(connection)
    connection.close()
    of_database: list[dict[str, Any]] = [{"table": "a; DROP"}, {"paramstyle": "?"}, {"ttl": 0}]
    for arguments in of_database:
        with pytest.raises(ConfigurationError):
            DatabaseStore(lambda: None, **arguments)
    in_memory: list[dict[str, Any]] = [{"max_entries": 0}, {"ttl": 0}, {"wait": -1}]
    for arguments in in_memory:
        with pytest.raises(ConfigurationError):
            MemoryStore(**arguments)


def test_waiting_copies_go_on_when_a_claim_ends():
    store = MemoryStore(wait=PATIENCE)
    claim = store.claim("a")
    assert not isinstance(claim, StoredReply)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(store.claim, "a")
        assert not isinstance(store.claim("b"), StoredReply)  # others are not held up
        claim.complete("reply")
        eventually(second.done)
    assert second.result() == StoredReply("reply")
