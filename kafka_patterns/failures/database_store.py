"""Claims and replies of idempotent handlers, in a table beside what the handlers write."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from kafka_patterns.errors import ConfigurationError, KafkaRetriableException
from kafka_patterns.failures.database_statements import (
    PARAMSTYLES,
    Statements,
    is_dbapi_error,
)
from kafka_patterns.failures.idempotency import StoredReply
from kafka_patterns.synchronous import refuse_async

__all__ = ["DatabaseStore"]

logger = logging.getLogger("kafka_patterns.idempotency")

_TABLE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)
_POLL_SECONDS = 0.05
_PURGE_SECONDS = 60.0
_DDL = """CREATE TABLE IF NOT EXISTS {table} (
    message_key VARCHAR(255) NOT NULL PRIMARY KEY,
    token VARCHAR(36) NOT NULL,
    expires_at BIGINT NOT NULL,
    reply TEXT
)"""


class DatabaseStore:
    """An :class:`~kafka_patterns.IdempotencyStore` in a table, by a DB-API 2 connection.

    The claim, what the handler writes on the same connection, and its reply are one transaction:
    either all of it is there or nothing. So the handler must neither commit nor roll back, the
    connection must not be in autocommit mode, and no transaction may be open on it when a
    message begins. Otherwise a handler that died stays claimed for ``claim_timeout`` seconds,
    and is then run again.

    :param connection: a function that returns the connection that handlers use in the thread
        it is called from; one thread, one connection. It is never closed here.
    :param table: its name, with a schema or without.
    :param paramstyle: how statements have their parameters, see the DB-API; that of the
        connection's module if not given.
    :param ttl: seconds for which a reply is kept.
    :param wait: seconds to wait for a claim of another delivery that can be seen. For one that
        cannot, the database waits: SQLite as long as ``connect(timeout=...)`` says,
        PostgreSQL ``lock_timeout``, MySQL ``innodb_lock_wait_timeout``.
    :param claim_timeout: seconds after which a claim counts as given up.
    :param clock: seconds since 1970.
    :raises ConfigurationError: for a connection in place of a function, or an unknown style.
    """

    def __init__(
        self,
        connection: Callable[[], Any],
        *,
        table: str = "kafka_patterns_idempotency",
        paramstyle: str | None = None,
        ttl: float = 7 * 86_400.0,
        wait: float = 10.0,
        claim_timeout: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given: Any = connection
        refuse_async(given, "DatabaseStore's connection function")
        if not callable(given) or hasattr(given, "cursor"):
            raise ConfigurationError(
                "DatabaseStore takes a function that returns the connection of the thread it is "
                "called from: one connection cannot serve several threads"
            )
        if not _TABLE_NAME.fullmatch(table):
            raise ConfigurationError(f"{table!r} is no plain name of a table")
        if paramstyle not in (None, *PARAMSTYLES):
            raise ConfigurationError(f"paramstyle {paramstyle!r} is none of {PARAMSTYLES}")
        if not (ttl > 0 and wait >= 0 and claim_timeout > 0):
            raise ConfigurationError("ttl and claim_timeout must be above 0, wait at least 0")
        self._connection = connection
        self._table = table
        self._paramstyle = paramstyle
        self._ttl = ttl
        self._wait = wait
        self._claim_timeout = claim_timeout
        refuse_async(clock, "clock")
        self._clock = clock
        self._lock = threading.Lock()  # guards the time below
        self._purged_at = -_PURGE_SECONDS

    def create_table(self) -> None:
        """Create the table, unless it exists, and commit. The statement is :attr:`ddl`."""
        self._statements().commit(self.ddl)

    @property
    def ddl(self) -> str:
        """The statement that creates the table; for MySQL, make ``reply`` a ``MEDIUMTEXT``."""
        return _DDL.format(table=self._table)

    def delete_expired(self) -> None:
        """Delete what nobody needs any more, and commit. Claims do it once a minute."""
        self._statements().commit(
            f"DELETE FROM {self._table} WHERE expires_at <= :now",  # noqa: S608  a checked name
            now=self._now_ms(),
        )

    def claim(self, key: str) -> _DatabaseClaim | StoredReply:
        """Begin a transaction that claims *key*, or return what is kept for it.

        :raises KafkaRetriableException: if another delivery holds the claim for too long, or
            the database cannot be reached.
        """
        statements = self._statements()
        deadline = time.monotonic() + self._wait
        try:
            if self._is_purge_due():
                self.delete_expired()
            while True:
                found = self._try_to_claim(statements, key)
                if found is not None:
                    return found
                if time.monotonic() >= deadline:
                    raise KafkaRetriableException(
                        f"another delivery of {key!r} is still handled after {self._wait:g} s"
                    )
                time.sleep(_POLL_SECONDS)
        except BaseException as error:
            statements.roll_back()
            if is_dbapi_error(error, "OperationalError"):
                raise KafkaRetriableException(
                    f"{key!r} could not be claimed in table {self._table}: {error}"
                ) from error
            raise

    def _try_to_claim(
        self, statements: Statements, key: str
    ) -> _DatabaseClaim | StoredReply | None:
        row = statements.row(
            f"SELECT reply, expires_at FROM {self._table} WHERE message_key = :key",  # noqa: S608
            key=key,
        )
        now = self._now_ms()
        if row is not None and row[1] > now:
            statements.roll_back()
            return None if row[0] is None else StoredReply(row[0])
        if row is not None:
            statements.execute(
                f"DELETE FROM {self._table} "  # noqa: S608
                "WHERE message_key = :key AND expires_at = :expires_at",
                key=key,
                expires_at=row[1],
            )
        token = str(uuid.uuid4())
        try:
            statements.execute(
                f"INSERT INTO {self._table} (message_key, token, expires_at, reply) "  # noqa: S608
                "VALUES (:key, :token, :expires_at, NULL)",
                key=key,
                token=token,
                expires_at=now + int(self._claim_timeout * 1000),
            )
        except Exception as error:
            if not is_dbapi_error(error, "IntegrityError"):
                raise
            statements.roll_back()  # another one was faster, and has committed by now
            return None
        return _DatabaseClaim(self, statements, key, token)

    def keep(self, statements: Statements, key: str, token: str, text: str) -> None:
        """End a claim with a reply, and commit."""
        try:
            changed = statements.execute(
                f"UPDATE {self._table} SET reply = :reply, expires_at = :expires_at "  # noqa: S608
                "WHERE message_key = :key AND token = :token",
                reply=text,
                expires_at=self._now_ms() + int(self._ttl * 1000),
                key=key,
                token=token,
            )
            if changed == 0:
                raise KafkaRetriableException(
                    f"the claim of {key!r} expired after {self._claim_timeout:g} s and was taken "
                    "by another delivery: what this one wrote is rolled back. Give DatabaseStore "
                    "a longer claim_timeout"
                )
            statements.connection.commit()
        except BaseException:
            statements.roll_back()
            raise

    def give_up(self, statements: Statements, key: str, token: str) -> None:
        """End a claim without a reply; what the handler wrote is rolled back."""
        statements.roll_back()
        try:
            # It is still there if the connection commits by itself, or the handler did.
            statements.commit(
                f"DELETE FROM {self._table} "  # noqa: S608
                "WHERE message_key = :key AND token = :token",
                key=key,
                token=token,
            )
        except Exception:
            statements.roll_back()
            logger.warning("the claim of %r may stay until it expires", key, exc_info=True)

    def _statements(self) -> Statements:
        connection = self._connection()
        return Statements(connection, self._paramstyle)

    def _is_purge_due(self) -> bool:
        now = time.monotonic()
        with self._lock:
            due = now - self._purged_at >= _PURGE_SECONDS
            if due:
                self._purged_at = now
        return due

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _DatabaseClaim:
    def __init__(self, store: DatabaseStore, statements: Statements, key: str, token: str) -> None:
        self._store = store
        self._statements = statements
        self._key = key
        self._token = token

    def complete(self, text: str) -> None:
        self._store.keep(self._statements, self._key, self._token, text)

    def release(self) -> None:
        self._store.give_up(self._statements, self._key, self._token)
