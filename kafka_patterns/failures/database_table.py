"""The table of claims and replies: how it is made, and what is deleted from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.database_statements import (
    Statements,
    database_kind,
    is_dbapi_error,
)

__all__ = ["IdempotencyTable", "without_waiting"]

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)
_CREATE_TRIES = 5
_PURGED_AT_ONCE = 1000
_DELETED_AT_ONCE = 100
_DDL = """CREATE TABLE IF NOT EXISTS {table} (
    message_key VARCHAR(64) NOT NULL PRIMARY KEY,
    token VARCHAR(36) NOT NULL,
    expires_at BIGINT NOT NULL,
    reply {text}
)"""
_INDEX_DDL = "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)"


class IdempotencyTable:
    """The table of one name.

    :param name: with a schema or without.
    :raises ConfigurationError: if it is no plain name.
    """

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no plain name of a table")
        self.name = name
        self._skips_locked = True

    @property
    def ddl(self) -> str:
        """The statement that creates the table."""
        return _DDL.format(table=self.name, text="TEXT")

    @property
    def index_ddl(self) -> str:
        """The statement that creates the index on when rows expire."""
        return _INDEX_DDL.format(table=self.name, index=self._index)

    @property
    def _index(self) -> str:
        return f"{self.name.rpartition('.')[2]}_expires_at"

    def create(self, statements: Statements) -> None:
        """Create table and index, unless they exist, and commit."""
        for tries_left in reversed(range(_CREATE_TRIES)):
            try:
                for statement in self._statements_for(statements):
                    statements.execute(statement)
                statements.connection.commit()
                return
            except Exception as error:
                statements.roll_back()
                # PostgreSQL refuses the second of two that create it at the same time.
                if not tries_left or not is_dbapi_error(error, "DatabaseError"):
                    raise

    def _statements_for(self, statements: Statements) -> list[str]:
        kind = database_kind(statements.connection)
        if kind == "mysql":
            # Its TEXT ends at 64 kB, and MySQL does not know an index that may exist.
            text = f"MEDIUMTEXT,\n    INDEX {self._index} (expires_at)"
            return [_DDL.format(table=self.name, text=text)]
        schema, _, table = self.name.rpartition(".")
        if kind == "sqlite" and schema:
            index = f"{schema}.{self._index}"
            return [self.ddl, _INDEX_DDL.format(table=table, index=index)]
        return [self.ddl, self.index_ddl]

    def purge(self, statements: Statements, now_ms: int) -> bool:
        """Delete some of what has expired, and commit; whether there may be more.

        Rows that a running handler claims anew are left out where the database can do that.
        """
        keys = self._expired(statements, now_ms)
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = {f"key{n}": key for n, key in enumerate(keys[start : start + _DELETED_AT_ONCE])}
            places = ", ".join(f":{name}" for name in some)
            statements.execute(
                f"DELETE FROM {self.name} "  # noqa: S608  a checked name
                f"WHERE expires_at <= :now AND message_key IN ({places})",
                now=now_ms,
                **some,
            )
        statements.connection.commit()
        return len(keys) == _PURGED_AT_ONCE

    def _expired(self, statements: Statements, now_ms: int) -> list[str]:
        statement = (
            f"SELECT message_key FROM {self.name} "  # noqa: S608  a checked name
            f"WHERE expires_at <= :now LIMIT {_PURGED_AT_ONCE}"
        )
        if self._skips_locked and database_kind(statements.connection) != "sqlite":
            try:
                found = statements.rows(f"{statement} FOR UPDATE SKIP LOCKED", now=now_ms)
                return [row[0] for row in found]
            except Exception as error:
                if not is_dbapi_error(error, "ProgrammingError"):
                    raise
                statements.roll_back()
                self._skips_locked = False  # an old one, which does not know the words
        return [row[0] for row in statements.rows(statement, now=now_ms)]


@contextmanager
def without_waiting(statements: Statements) -> Iterator[None]:
    """Fail where a lock of others would be waited for: SQLite locks all of the database."""
    if database_kind(statements.connection) != "sqlite":
        yield
        return
    (before,) = statements.row("PRAGMA busy_timeout")
    statements.row("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        statements.row(f"PRAGMA busy_timeout = {int(before)}")
