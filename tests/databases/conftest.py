"""Servers of PostgreSQL and MariaDB, shared by all tests of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns import DatabaseStore
from tests.support.database_servers import (
    DatabaseServer,
    MariaDbServer,
    PostgresServer,
    database_server,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/databases/" in item.path.as_posix():
            item.add_marker(pytest.mark.databases)


class Database:
    """One connection per thread to a server, and tables that no other test uses.

    :param schema: in which the tables are; in MariaDB it is the database.
    """

    def __init__(self, server: DatabaseServer, schema: str) -> None:
        self.server = server
        self.schema = schema
        self._connections: dict[int, Any] = {}
        self._others: list[Any] = []

    def __call__(self) -> Any:
        thread = threading.get_ident()
        if thread not in self._connections:
            self._connections[thread] = self.server.connect()
        return self._connections[thread]

    def other(self, **options: Any) -> Any:
        """One more connection."""
        self._others.append(self.server.connect(**options))
        return self._others[-1]

    def close(self) -> None:
        for connection in (*self._connections.values(), *self._others):
            connection.close()

    def forget(self) -> None:
        """The connection of this thread breaks, as if the process had died."""
        self._connections.pop(threading.get_ident()).close()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run it on the connection of this thread."""
        with self().cursor() as cursor:
            cursor.execute(statement, parameters)

    def rows(self, statement: str, *parameters: Any) -> list[Any]:
        """What it selects, seen from outside."""
        connection = self.server.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return list(cursor.fetchall())
        finally:
            connection.close()

    @property
    def orders(self) -> str:
        """The table that handlers write to."""
        return f"{self.schema}.orders"

    def store(self, **options: Any) -> DatabaseStore:
        """A store with a table of this test's own."""
        made = DatabaseStore(self, table=f"{self.schema}.claims", **options)
        made.create_table()
        return made


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[type[DatabaseServer]], DatabaseServer]]:
    """Starts a server of a kind when it is first asked for."""
    open_now: dict[type[DatabaseServer], Any] = {}

    def get(kind: type[DatabaseServer]) -> DatabaseServer:
        if kind not in open_now:
            context = database_server(kind)
            open_now[kind] = context, context.__enter__()
        server: DatabaseServer = open_now[kind][1]
        return server

    yield get
    for context, _ in open_now.values():
        context.__exit__(None, None, None)


@pytest.fixture(params=[PostgresServer, MariaDbServer], ids=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, servers: Any) -> Iterator[Database]:
    made = Database(servers(request.param), f"test_{abs(hash(request.node.nodeid))}")
    made.execute(f"CREATE SCHEMA {made.schema}")
    made.execute(f"CREATE TABLE {made.orders} (id INTEGER)")
    made().commit()
    yield made
    made.close()
