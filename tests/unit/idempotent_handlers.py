"""What the tests of idempotent handlers stand on: contexts, a clock, a database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka_patterns import DatabaseStore, Record
from kafka_patterns.message import HeaderPairs
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.server.binding import bind
from kafka_patterns.server.context import KafkaContext

__all__ = [
    "PATIENCE",
    "Clock",
    "Databases",
    "Delivery",
    "context",
    "database_store",
    "databases_in",
    "deliver",
    "orders",
]

PATIENCE = 20.0


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


@contextmanager
def databases_in(folder: Path) -> Iterator[Databases]:
    """A database with a table of orders."""
    databases = Databases(folder / "orders.db")
    databases().execute("CREATE TABLE orders (id INTEGER)")
    try:
        yield databases
    finally:
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
