"""Claims and replies in a database: one transaction with what the handler writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    DatabaseStore,
    KafkaRetriableException,
    StoredReply,
    idempotent,
)
from kafka_patterns.failures.database_statements import Statements
from tests.unit.idempotent_handlers import (
    PATIENCE,
    Clock,
    Databases,
    context,
    database_store,
    databases_in,
    deliver,
    orders,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Databases]:
    with databases_in(tmp_path) as databases:
        yield databases


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


class Autocommit:
    """A connection that says, in one of the ways of drivers, that it commits by itself."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def cursor(self) -> None:
        raise AssertionError("it was used")


@pytest.mark.parametrize(
    "attributes",
    [
        {"autocommit": True},  # psycopg, psycopg2, mysql.connector, pyodbc, oracledb
        {"autocommit": 1},
        {"get_autocommit": lambda: True},  # Django, mysqlclient
        {"get_autocommit": lambda: True, "autocommit": lambda value: None},  # PyMySQL
    ],
)
def test_connection_that_commits_by_itself_is_refused(attributes: dict[str, Any]):
    store = DatabaseStore(lambda: Autocommit(**attributes), paramstyle="format")

    with pytest.raises(ConfigurationError, match="the connection is in autocommit mode"):
        store.claim("pay:1")


@pytest.mark.parametrize(
    "attributes", [{"autocommit": False}, {"get_autocommit": lambda: False}, {"autocommit": -1}, {}]
)
def test_connection_that_does_not_is_used(attributes: dict[str, Any]):
    store = DatabaseStore(lambda: Autocommit(rollback=None, **attributes), paramstyle="format")

    with pytest.raises(AssertionError, match="it was used"):
        store.claim("pay:1")


def test_sqlite_connection_that_commits_by_itself_is_refused(tmp_path: Path, caplog):
    connection = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    store = DatabaseStore(lambda: connection)
    store.create_table()

    assert "the connection is in autocommit mode" in caplog.text
    with pytest.raises(ConfigurationError, match="the connection is in autocommit mode"):
        store.claim("pay:1")
    connection.close()


def test_claim_that_a_handler_committed_is_given_back(database: Databases):
    store = database_store(database)

    claim = store.claim("pay:1")
    assert not isinstance(claim, StoredReply)
    database().commit()
    claim.release()

    assert not isinstance(store.claim("pay:1"), StoredReply)


@pytest.mark.parametrize(
    ("one", "other"), [("a", "A"), ("e", "é"), ("a", "a "), ("a", "a\0"), ("\ud800", "\ud801")]
)
def test_keys_are_the_same_only_if_they_are_equal(database: Databases, one: str, other: str):
    store = database_store(database)
    for key in (one, other):
        claim = store.claim(key)
        assert not isinstance(claim, StoredReply)
        claim.complete(key.encode("utf-8", "backslashreplace").hex())

    assert [store.claim(key) for key in (one, other)] == [
        StoredReply(key.encode("utf-8", "backslashreplace").hex()) for key in (one, other)
    ]


def replies(database: Databases) -> list[str]:
    rows = database().execute("SELECT reply FROM kafka_patterns_idempotency ORDER BY expires_at")
    found = [row[0] for row in rows.fetchall()]
    database().rollback()
    return found


def handle_all(store: DatabaseStore, *keys: str) -> None:
    for key in keys:
        claim = store.claim(key)
        assert not isinstance(claim, StoredReply)
        claim.complete(key)


def test_expired_rows_are_deleted(database: Databases):
    clock = Clock()
    store = database_store(database, ttl=10, clock=clock)
    for key in ("a", "b"):
        handle_all(store, key)
        clock.now += 6
    store.delete_expired()

    assert replies(database) == ["b"]


def test_expired_rows_are_deleted_however_many_they_are(database: Databases):
    clock = Clock()
    store = database_store(database, ttl=10, clock=clock)
    rows = [(str(number), "t", number, "reply") for number in range(2_345)]
    database().executemany("INSERT INTO kafka_patterns_idempotency VALUES (?, ?, ?, ?)", rows)
    database().commit()

    store.delete_expired()

    assert replies(database) == []


def test_messages_delete_old_rows_as_quickly_as_they_come(database: Databases):
    clock = Clock()
    store = database_store(database, ttl=10, clock=clock)
    rows = [(str(number), "t", number, "reply") for number in range(2_345)]
    database().executemany("INSERT INTO kafka_patterns_idempotency VALUES (?, ?, ?, ?)", rows)
    database().commit()

    handle_all(store, "a", "b", "c", "d")

    assert replies(database) == ["a", "b", "c", "d"]


def test_old_rows_are_no_reason_to_wait_or_to_fail(database: Databases):
    """They are deleted behind the message; if others write just then, later."""
    clock = Clock()
    store = database_store(database, ttl=10, clock=clock)
    handle_all(store, "old")
    clock.now += 11
    writer = sqlite3.connect(database.path, timeout=0)

    class Committed(sqlite3.Connection):
        """Somebody else begins to write as soon as the message is committed."""

        def commit(self) -> None:
            super().commit()
            if not writer.in_transaction:
                writer.execute("INSERT INTO orders VALUES (1)")

    own = sqlite3.connect(database.path, timeout=60, factory=Committed)
    store = DatabaseStore(lambda: own, ttl=10, clock=clock)
    handle_all(store, "new")

    assert writer.in_transaction
    assert own.execute("PRAGMA busy_timeout").fetchone() == (60_000,)
    writer.close()
    own.close()
    assert replies(database) == ["old", "new"]


def test_database_that_cannot_be_used_is_tried_again_later(database: Databases):
    store = DatabaseStore(database, table="missing")

    with pytest.raises(KafkaRetriableException, match="no such table: missing"):
        store.claim("pay:1")


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
