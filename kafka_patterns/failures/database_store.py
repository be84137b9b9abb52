"""Claims and replies of idempotent handlers, in a table beside what the handlers write."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from kafka_patterns.errors import ConfigurationError, KafkaRetriableException
from kafka_patterns.failures.database_statements import (
    PARAMSTYLES,
    Statements,
    commits_by_itself,
    is_dbapi_error,
)
from kafka_patterns.failures.database_table import IdempotencyTable, without_waiting
from kafka_patterns.failures.idempotency import StoredReply
from kafka_patterns.synchronous import refuse_async

__all__ = ["DatabaseStore"]

logger = logging.getLogger("kafka_patterns.idempotency")

_POLL_SECONDS = 0.05
_PURGE_SECONDS = 60.0
_AUTOCOMMIT = (
    "the connection is in autocommit mode: what the handler writes and the note that the message "
    "is handled would be no transaction, so that it could be written twice. Switch it off on the "
    "connections that handlers use: connection.autocommit = False in psycopg, "
    "connection.set_autocommit(False) in Django, sqlite3.connect() without isolation_level=None"
)


class DatabaseStore:
    """An :class:`~kafka_patterns.IdempotencyStore` in a table, by a DB-API 2 connection.

    The claim, what the handler writes on the same connection, and its reply are one transaction:
    either all of it is there or nothing. So the handler must neither commit nor roll back, and no
    transaction may be open on the connection when a message begins. A connection in autocommit
    mode is refused, when a message comes. If the handler commits all the same and dies, the message
    stays claimed for ``claim_timeout`` seconds, and is then handled again.

    Keys are kept as digests, so that they are as different as they are to Python in any database,
    whatever it thinks of case, accents, blanks and null characters.

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
        if paramstyle not in (None, *PARAMSTYLES):
            raise ConfigurationError(f"paramstyle {paramstyle!r} is none of {PARAMSTYLES}")
        if not (ttl > 0 and wait >= 0 and claim_timeout > 0):
            raise ConfigurationError("ttl and claim_timeout must be above 0, wait at least 0")
        self._connection = connection
        self._table = IdempotencyTable(table)
        self._paramstyle = paramstyle
        self._ttl = ttl
        self._wait = wait
        self._claim_timeout = claim_timeout
        refuse_async(clock, "clock")
        self._clock = clock
        self._lock = threading.Lock()  # guards the time below
        self._next_purge = time.monotonic()

    def create_table(self) -> None:
        """Create the table and its index, unless they exist, and commit."""
        statements = self._statements()
        if commits_by_itself(statements.connection):
            logger.warning(_AUTOCOMMIT)
        self._table.create(statements)

    @property
    def ddl(self) -> str:
        """The statement that creates the table; for MySQL, make ``reply`` a ``MEDIUMTEXT``."""
        return self._table.ddl

    @property
    def index_ddl(self) -> str:
        """The statement that creates its index, by which old rows are found.

        For MySQL, leave ``IF NOT EXISTS`` out.
        """
        return self._table.index_ddl

    def delete_expired(self) -> None:
        """Delete what nobody needs any more, and commit. It is done now and then by itself."""
        statements = self._statements()
        while self._table.purge(statements, self._now_ms()):
            pass

    def claim(self, key: str) -> _DatabaseClaim | StoredReply:
        """Begin a transaction that claims *key*, or return what is kept for it.

        :raises KafkaRetriableException: if another delivery holds the claim for too long, or
            the database cannot be reached.
        :raises ConfigurationError: if the connection commits by itself.
        """
        statements = self._statements()
        if commits_by_itself(statements.connection):
            raise ConfigurationError(_AUTOCOMMIT)
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        deadline = time.monotonic() + self._wait
        try:
            while True:
                found = self._try_to_claim(statements, key, digest)
                if found is not None:
                    return found
                if time.monotonic() >= deadline:
                    raise KafkaRetriableException(
                        f"another delivery of {key!r} is still handled after {self._wait:g} s"
                    )
                time.sleep(_POLL_SECONDS)
        except BaseException as error:
            statements.roll_back()
            if _may_pass(error):
                raise KafkaRetriableException(
                    f"{key!r} could not be claimed in table {self._table.name}: {error}"
                ) from error
            raise

    def _try_to_claim(
        self, statements: Statements, key: str, digest: str
    ) -> _DatabaseClaim | StoredReply | None:
        row = statements.row(
            f"SELECT reply, expires_at FROM {self._table.name} "  # noqa: S608  a checked name
            "WHERE message_key = :key",
            key=digest,
        )
        now = self._now_ms()
        if row is not None and row[1] > now:
            statements.roll_back()
            return None if row[0] is None else StoredReply(row[0])
        if row is not None:
            statements.execute(
                f"DELETE FROM {self._table.name} "  # noqa: S608
                "WHERE message_key = :key AND expires_at = :expires_at",
                key=digest,
                expires_at=row[1],
            )
        token = str(uuid.uuid4())
        try:
            statements.execute(
                f"INSERT INTO {self._table.name} "  # noqa: S608
                "(message_key, token, expires_at, reply) VALUES (:key, :token, :expires_at, NULL)",
                key=digest,
                token=token,
                expires_at=now + int(self._claim_timeout * 1000),
            )
        except Exception as error:
            if not is_dbapi_error(error, "IntegrityError"):
                raise
            statements.roll_back()  # another one was faster, and has committed by now
            return None
        return _DatabaseClaim(self, statements, key, digest, token)

    def keep(self, claim: _DatabaseClaim, text: str) -> None:
        """End a claim with a reply, and commit."""
        statements = claim.statements
        try:
            changed = statements.execute(
                f"UPDATE {self._table.name} "  # noqa: S608
                "SET reply = :reply, expires_at = :expires_at "
                "WHERE message_key = :key AND token = :token",
                reply=text,
                expires_at=self._now_ms() + int(self._ttl * 1000),
                key=claim.digest,
                token=claim.token,
            )
            if changed == 0:
                raise KafkaRetriableException(
                    f"the claim of {claim.key!r} expired after {self._claim_timeout:g} s and was "
                    "taken by another delivery: what this one wrote is rolled back. Give "
                    "DatabaseStore a longer claim_timeout"
                )
            statements.connection.commit()
        except BaseException as error:
            statements.roll_back()
            if _may_pass(error):
                raise KafkaRetriableException(
                    f"what {claim.key!r} led to could not be committed: {error}"
                ) from error
            raise
        if self._is_purge_due():
            self._purge(statements)

    def _purge(self, statements: Statements) -> None:
        """Delete old rows, behind a message that is committed: none waits or fails for it."""
        try:
            with without_waiting(statements):
                if self._table.purge(statements, self._now_ms()):
                    self._purge_at(time.monotonic())
        except Exception as error:  # noqa: BLE001  drivers may raise anything
            statements.roll_back()
            logger.info("old rows of %s are deleted later: %s", self._table.name, error)

    def give_up(self, claim: _DatabaseClaim) -> None:
        """End a claim without a reply; what the handler wrote is rolled back."""
        claim.statements.roll_back()
        try:
            # It is still there if the handler did commit.
            claim.statements.commit(
                f"DELETE FROM {self._table.name} "  # noqa: S608
                "WHERE message_key = :key AND token = :token",
                key=claim.digest,
                token=claim.token,
            )
        except Exception:
            claim.statements.roll_back()
            logger.warning("the claim of %r may stay until it expires", claim.key, exc_info=True)

    def _statements(self) -> Statements:
        connection = self._connection()
        return Statements(connection, self._paramstyle)

    def _is_purge_due(self) -> bool:
        now = time.monotonic()
        with self._lock:
            due = now >= self._next_purge
            if due:
                self._next_purge = now + _PURGE_SECONDS
        return due

    def _purge_at(self, due: float) -> None:
        with self._lock:
            self._next_purge = due

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


@attrs.frozen
class _DatabaseClaim:
    """A row of ours: that of *digest*, as long as it has our *token*."""

    store: DatabaseStore
    statements: Statements
    key: str
    digest: str
    token: str

    def complete(self, text: str) -> None:
        self.store.keep(self, text)

    def release(self) -> None:
        self.store.give_up(self)


def _may_pass(error: BaseException) -> bool:
    """Whether the database or the way to it failed, or others were in the way."""
    return is_dbapi_error(error, "OperationalError") or is_dbapi_error(error, "InterfaceError")
