"""Handlers that run once per message, with their claims in PostgreSQL and MariaDB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    DatabaseStore,
    KafkaRetriableException,
    StoredReply,
    idempotent,
)
from tests.databases.conftest import Database
from tests.support.waiting import eventually
from tests.unit.idempotent_handlers import PATIENCE, Clock, context, deliver

REPLY = "é 🐉 \\ \" ' % \N{LINE SEPARATOR} \0" + "x" * 200_000


def handle(store: DatabaseStore, key: str, reply: str = "reply") -> None:
    """Claim *key* and end the claim with *reply*, as the first delivery does."""
    claim = store.claim(key)
    assert not isinstance(claim, StoredReply), f"{key!r} was handled before: {claim}"
    claim.complete(reply)


# Keys

KEYS = [
    *("order-a", "order-A", "order-á", "order-a ", "order-a\0", "order-a\t", " order-a"),
    *("order-e", "order-é", "order-e\u0301", "order-ß", "order-ss", "order-\ud800", "order-🐉"),
]


def test_keys_that_a_database_takes_for_the_same_are_different(database: Database):
    store = database.store()
    for number, key in enumerate(KEYS):
        handle(store, key, str(number))

    found = [store.claim(key) for key in KEYS]

    assert found == [StoredReply(str(number)) for number in range(len(KEYS))]


def test_senders_get_their_own_replies(database: Database):
    paid = []

    @idempotent(store=database.store())
    def pay(order: Any) -> Any:
        database.execute(f"INSERT INTO {database.orders} VALUES (%s)", order)
        paid.append(order)
        return {"paid": order}

    sent = [b"key", b"KEY", b"k\xc3\xa9y", b"key ", b"key\0", b"\0key", b"\xff", b"hero/0/7"]
    for _ in range(2):
        replies = [
            deliver(pay, number, context(50 + number, key=key)) for number, key in enumerate(sent)
        ]
        assert replies == [{"paid": number} for number in range(len(sent))]
    assert deliver(pay, 100, context(7)) == {"paid": 100}  # the place that a key named

    assert paid == [*range(len(sent)), 100]
    assert len(database.rows(f"SELECT id FROM {database.orders}")) == len(paid)


# One transaction


def test_handler_and_note_are_one_transaction(database: Database):
    attempts, seen = [], []
    rows = f"SELECT id FROM {database.orders}"

    @idempotent(store=database.store())
    def pay(order: int) -> str:
        database.execute(f"INSERT INTO {database.orders} VALUES (%s)", order)
        attempts.append(order)
        seen.append(database.rows(rows))
        if len(attempts) == 1:
            raise ValueError("no money")
        if len(attempts) == 2:
            database.forget()
            raise ConnectionError("the process died")
        return REPLY

    for error in (ValueError, ConnectionError):
        with pytest.raises(error):
            deliver(pay, 7, context())
        assert database.rows(rows) == []
    replies = [deliver(pay, 7, context()) for _ in range(2)]

    assert replies == [REPLY, REPLY]
    assert (attempts, seen) == ([7] * 3, [[]] * 3)
    assert database.rows(rows) == [(7,)]


def test_many_copies_at_once_run_one(database: Database):
    store = database.store(wait=PATIENCE)

    @idempotent(store=store)
    def pay(order: int) -> int:
        database.execute(f"INSERT INTO {database.orders} VALUES (%s)", order)
        return order

    def deliver_until_it_ends(number: int) -> Any:
        while True:
            try:
                return deliver(pay, number % 3, context(number % 3))
            except KafkaRetriableException:
                continue

    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(deliver_until_it_ends, range(60)))

    assert replies == [number % 3 for number in range(60)]
    found = database.rows(f"SELECT id FROM {database.orders} ORDER BY id")
    assert found == [(0,), (1,), (2,)]


def test_second_copy_gets_the_reply_of_the_first(database: Database):
    entered, leave, calls = threading.Event(), threading.Event(), []

    @idempotent(store=database.store(wait=PATIENCE))
    def pay(order: int) -> str:
        calls.append(order)
        entered.set()
        leave.wait(PATIENCE)
        return "paid"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deliver, pay, 1, context())
        assert entered.wait(PATIENCE)
        second = pool.submit(deliver, pay, 1, context())
        leave.set()
        assert (first.result(PATIENCE), second.result(PATIENCE)) == ("paid", "paid")
    assert calls == [1]


def test_connection_that_commits_by_itself_is_refused(database: Database):
    connection = database.other(autocommit=True)
    store = DatabaseStore(lambda: connection, table=f"{database.schema}.claims")
    store.create_table()
    calls = []
    pay = idempotent(store=store, scope="pay")(lambda order: calls.extend([order]))

    with pytest.raises(ConfigurationError, match="the connection is in autocommit mode"):
        deliver(pay, 1, context())

    assert calls == []
    assert database.rows(f"SELECT * FROM {database.schema}.claims") == []


# Old rows


def test_old_rows_are_deleted_while_handlers_run(database: Database):
    clock = Clock()
    store = database.store(ttl=10, claim_timeout=60, clock=clock)
    for key in ("old", "claimed again"):
        handle(store, key)
    clock.now += 11
    handle(store, "young")
    running = [database.store(ttl=10, claim_timeout=60, clock=clock) for _ in range(3)]
    keys = ["claimed again", "new", "newer"]
    leave = threading.Event()

    def run(claimed: tuple[DatabaseStore, str]) -> None:
        claim = claimed[0].claim(claimed[1])
        assert not isinstance(claim, StoredReply)
        entered.release()
        assert leave.wait(PATIENCE)
        claim.complete("reply")

    entered = threading.Semaphore(0)
    with ThreadPoolExecutor(4) as pool:
        handlers = [pool.submit(run, claimed) for claimed in zip(running, keys, strict=True)]
        for _ in handlers:
            assert entered.acquire(timeout=PATIENCE)
        try:
            # Not one of them has to end for it; each database would wait for 50 s or for ever.
            pool.submit(store.delete_expired).result(PATIENCE)
            rows = database.rows(f"SELECT reply FROM {database.schema}.claims")
            handled = pool.submit(handle, store, "one more").result(PATIENCE)
        finally:
            leave.set()
        assert handled is None
        assert [handler.result(PATIENCE) for handler in handlers] == [None] * 3
    assert len(rows) == 2  # "young", and the one that is claimed again, unless that is committed
    assert len(database.rows(f"SELECT reply FROM {database.schema}.claims")) == 5


def test_messages_delete_old_rows_as_they_come(database: Database):
    clock = Clock()
    store = database.store(ttl=10, clock=clock)
    with database().cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {database.schema}.claims VALUES (%s, 't', %s, 'reply')",
            [(str(number), number) for number in range(2_345)],
        )
    database().commit()

    for key in "abcd":
        handle(store, key)

    assert len(database.rows(f"SELECT reply FROM {database.schema}.claims")) == 4


def test_many_processes_create_the_table_at_once(database: Database):
    barrier = threading.Barrier(8)

    def create(_: int) -> None:
        store = DatabaseStore(database, table=f"{database.schema}.together")
        connection = database()
        barrier.wait(PATIENCE)
        store.create_table()
        assert connection is database()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(8)))

    eventually(lambda: database.rows(f"SELECT * FROM {database.schema}.together") == [])


def test_connection_whose_rows_are_mappings_is_used(database: Database):
    if database.server.name == "postgresql":
        from psycopg.rows import dict_row

        connection = database.other(row_factory=dict_row)
    else:
        from pymysql.cursors import DictCursor

        connection = database.other(cursorclass=DictCursor)
    store = DatabaseStore(lambda: connection, table=f"{database.schema}.claims")
    store.create_table()
    handle(store, "key")

    assert store.claim("key") == StoredReply("reply")
    store.delete_expired()
