"""Idempotent handlers: keys, stores, and who may run when."""

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
    Record,
    StoredReply,
    event_pattern,
    idempotent,
    use_filters,
)
from kafka_patterns.failures.database_statements import Statements
from kafka_patterns.failures.filters import filters_of
from kafka_patterns.message import HeaderPairs
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.server.binding import bind
from kafka_patterns.server.context import KafkaContext
from tests.support.waiting import eventually

PATIENCE = 20.0


@attrs.define
class Order:
    id: int


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Delivery:
    """What a context stands on, as far as these tests ask for it."""

    handler_name = "handle"
    is_deferred = False

    def __init__(self, record: Record, *, expects_reply: bool) -> None:
        self.record = record
        self.message = incoming_message(record, None)
        self.expects_reply = expects_reply

    def defer(self) -> None:
        self.is_deferred = True


def context(
    offset: int = 0, *, key: bytes | None = None, expects_reply: bool = True
) -> KafkaContext:
    headers: HeaderPairs = [] if key is None else [("kafka_patterns-idempotency-key", key)]
    record = Record("hero", 0, offset, 0, None, None, headers)
    delivery: Any = Delivery(record, expects_reply=expects_reply)
    return KafkaContext(delivery)


def deliver(handler: Any, payload: Any, this: KafkaContext) -> Any:
    """Call a handler as a server does."""
    return bind(handler).call(handler, payload, this)


class Databases:
    """One connection per thread to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: dict[int, sqlite3.Connection] = {}

    def __call__(self) -> sqlite3.Connection:
        thread = threading.get_ident()
        if thread not in self.connections:
            self.connections[thread] = sqlite3.connect(
                self.path, timeout=0.2, check_same_thread=False
            )
        return self.connections[thread]

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Databases]:
    databases = Databases(tmp_path / "orders.db")
    databases().execute("CREATE TABLE orders (id INTEGER)")
    yield databases
    databases.close()


def orders(database: Databases) -> list[int]:
    connection = sqlite3.connect(database.path)
    try:
        return [row[0] for row in connection.execute("SELECT id FROM orders ORDER BY rowid")]
    finally:
        connection.close()


def database_store(database: Databases, **options: Any) -> DatabaseStore:
    store = DatabaseStore(database, **options)
    store.create_table()
    return store


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


def test_many_copies_at_once_run_one(database: Databases):
    store = database_store(database, wait=PATIENCE)

    @idempotent(store=store)
    def pay(order, context):
        database().execute("INSERT INTO orders VALUES (?)", (order,))
        return order

    def deliver_again(_: int) -> Any:
        while True:
            try:
                return deliver(pay, 7, context())
            except KafkaRetriableException:
                continue

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(deliver_again, range(40)))

    assert replies == [7] * 40
    assert orders(database) == [7]


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


# In a database


def test_what_a_failed_handler_wrote_is_rolled_back_with_its_claim(database: Databases):
    store = database_store(database)
    attempts = []

    @idempotent(store=store)
    def pay(order, context):
        database().execute("INSERT INTO orders VALUES (?)", (order,))
        attempts.append(order)
        if len(attempts) == 1:
            raise ValueError("no money")

    with pytest.raises(ValueError, match="no money"):
        deliver(pay, 7, context())
    assert orders(database) == []
    deliver(pay, 7, context())
    assert orders(database) == [7]


def test_handler_and_reply_are_committed_together(database: Databases):
    store = database_store(database)
    seen = []

    @idempotent(store=store)
    def pay(order, context):
        database().execute("INSERT INTO orders VALUES (?)", (order,))
        seen.append(orders(database))  # by another connection

    deliver(pay, 7, context())
    assert seen == [[]]
    assert orders(database) == [7]


def test_process_that_died_before_the_commit_left_nothing(database: Databases):
    store = database_store(database)
    claim = store.claim("pay:1")
    assert not isinstance(claim, StoredReply)
    database().execute("INSERT INTO orders VALUES (7)")
    database().close()
    database.connections.clear()

    assert not isinstance(store.claim("pay:1"), StoredReply)
    assert orders(database) == []


def test_claim_of_a_dead_process_that_was_committed_expires(database: Databases):
    clock = Clock()
    store = database_store(database, wait=0, claim_timeout=60, clock=clock)
    store.claim("pay:1")
    database().commit()

    with pytest.raises(KafkaRetriableException, match="is still handled after 0 s"):
        store.claim("pay:1")
    clock.now += 61
    claim = store.claim("pay:1")
    assert not isinstance(claim, StoredReply)
    claim.complete("reply")
    assert store.claim("pay:1") == StoredReply("reply")


def test_claim_that_was_taken_over_cannot_be_completed(database: Databases):
    clock = Clock()
    store = database_store(database, claim_timeout=60, clock=clock)
    first = store.claim("pay:1")
    database().commit()
    clock.now += 61
    second = store.claim("pay:1")
    assert not isinstance(first, StoredReply)
    assert not isinstance(second, StoredReply)
    second.complete("second")

    database().execute("INSERT INTO orders VALUES (7)")
    with pytest.raises(KafkaRetriableException, match="was taken by another delivery"):
        first.complete("first")
    assert orders(database) == []
    assert store.claim("pay:1") == StoredReply("second")


def test_claims_on_a_connection_that_commits_by_itself_are_given_back(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    store = DatabaseStore(lambda: connection)
    store.create_table()

    claim = store.claim("pay:1")
    assert not isinstance(claim, StoredReply)
    claim.release()

    assert not isinstance(store.claim("pay:1"), StoredReply)
    connection.close()


def test_expired_rows_are_deleted(database: Databases):
    clock = Clock()
    store = database_store(database, ttl=10, clock=clock)
    for key in ("a", "b"):
        claim = store.claim(key)
        assert not isinstance(claim, StoredReply)
        claim.complete("reply")
        clock.now += 6
    store.delete_expired()

    rows = database().execute("SELECT message_key FROM kafka_patterns_idempotency").fetchall()
    assert rows == [("b",)]


def test_database_that_cannot_be_used_is_tried_again_later(database: Databases):
    store = DatabaseStore(database, table="missing")

    with pytest.raises(KafkaRetriableException, match="no such table: missing"):
        store.claim("pay:1")


class Recorder:
    """A connection of a module of another style, as far as statements need one."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.rowcount = 1

    def cursor(self):
        return self

    def execute(self, *statement):
        self.executed.append(statement)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("paramstyle", "statement", "parameters"),
    [
        ("qmark", "a = ? AND b = ?", (1, 2)),
        ("numeric", "a = :1 AND b = :2", (1, 2)),
        ("named", "a = :x AND b = :y", {"x": 1, "y": 2}),
        ("format", "a = %s AND b = %s", (1, 2)),
        ("pyformat", "a = %(x)s AND b = %(y)s", {"x": 1, "y": 2}),
    ],
)
def test_statements_follow_the_paramstyle(paramstyle, statement, parameters):
    connection = Recorder()

    Statements(connection, paramstyle).execute("a = :x AND b = :y", x=1, y=2)

    assert connection.executed == [(statement, parameters)]


def test_unknown_paramstyle_is_asked_for():
    with pytest.raises(ConfigurationError, match="the paramstyle of tests"):
        Statements(Recorder())


# Keys


def keys_of(run: Callable[[Any], None]) -> list[str]:
    keys: list[str] = []

    class Store:
        def claim(self, key: str) -> StoredReply:
            keys.append(key)
            return StoredReply('{"v":1,"value":{"json":null}}')

    run(Store())
    return keys


def test_key_is_the_header_else_the_place():
    def run(store):
        @idempotent(store=store, scope="pay")
        def handle(payload):
            raise AssertionError

        deliver(handle, 1, context(5))
        deliver(handle, 1, context(5, key=b"order-1"))
        deliver(handle, 1, context(5, key=b""))
        deliver(handle, 1, context(5, key=b"\xff"))

    assert keys_of(run) == ["pay:hero/0/5", "pay:order-1", "pay:hero/0/5", "pay:\\xff"]


def test_message_in_a_retry_topic_is_the_one_it_was():
    origin: HeaderPairs = [
        ("kafka_original-topic", b"hero"),
        ("kafka_original-partition", (3).to_bytes(4, "big")),
        ("kafka_original-offset", (2**40).to_bytes(8, "big")),
    ]

    def run(store):
        @idempotent(store=store, scope="s")
        def handle(payload): ...

        for topic, headers in (("hero-group-retry-1", origin), ("hero-group-retry-1", [])):
            record = Record(topic, 0, 5, 0, None, None, headers)
            delivery: Any = Delivery(record, expects_reply=False)
            deliver(handle, 1, KafkaContext(delivery))
        record = Record("other", 0, 5, 0, None, None, origin)
        delivery = Delivery(record, expects_reply=False)
        deliver(handle, 1, KafkaContext(delivery))

    assert keys_of(run) == ["s:hero/3/1099511627776", "s:hero-group-retry-1/0/5", "s:other/0/5"]


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

    assert keys_of(run) == ["s:7-0", "s:7-1", "s:None-2", "s:7-3", "s:None-4", "s:7-5"]


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
