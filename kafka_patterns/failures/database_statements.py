"""SQL on any DB-API 2 connection, whatever its style of parameters."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from kafka_patterns.errors import ConfigurationError

__all__ = ["PARAMSTYLES", "Statements", "commits_by_itself", "database_kind", "is_dbapi_error"]

logger = logging.getLogger("kafka_patterns.idempotency")

PARAMSTYLES = ("qmark", "numeric", "named", "format", "pyformat")

_PARAMETER = re.compile(r":(\w+)")


class Statements:
    """Runs statements whose parameters are written ``:name`` on any DB-API 2 connection.

    :param paramstyle: that of the connection's module, if ``None``.
    :raises ConfigurationError: if that is not known.
    """

    def __init__(self, connection: Any, paramstyle: str | None = None) -> None:
        self.connection = connection
        self._paramstyle = paramstyle or _paramstyle_of(connection)

    def execute(self, statement: str, **parameters: Any) -> int:
        """Run it; returns how many rows it concerned, or -1 if that is not known."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(*self._in_style(statement, parameters))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def row(self, statement: str, **parameters: Any) -> Any:
        """The first row of what it selects, or ``None``."""
        return next(iter(self.rows(statement, **parameters)), None)

    def rows(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """The rows of what it selects, whatever the connection makes of rows."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(*self._in_style(statement, parameters))
            rows = cursor.fetchall()
            return [tuple(row.values()) if isinstance(row, Mapping) else row for row in rows]
        finally:
            cursor.close()

    def commit(self, statement: str, **parameters: Any) -> None:
        """Run it, and commit."""
        self.execute(statement, **parameters)
        self.connection.commit()

    def roll_back(self) -> None:
        """Roll back; never raises."""
        try:
            self.connection.rollback()
        except Exception:
            logger.warning("a rollback failed; is the connection gone?", exc_info=True)

    def _in_style(self, statement: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
        if not parameters:
            return (statement,)
        names: list[str] = []

        def mark(match: re.Match[str]) -> str:
            names.append(match[1])
            return {
                "qmark": "?",
                "numeric": f":{len(names)}",
                "named": match[0],
                "format": "%s",
                "pyformat": f"%({match[1]})s",
            }[self._paramstyle]

        text = _PARAMETER.sub(mark, statement)
        if self._paramstyle in ("named", "pyformat"):
            return text, parameters
        return text, tuple(parameters[name] for name in names)


def _paramstyle_of(connection: Any) -> str:
    for cls in type(connection).__mro__:
        style = getattr(sys.modules.get(cls.__module__.partition(".")[0]), "paramstyle", None)
        if style in PARAMSTYLES:
            return str(style)
    raise ConfigurationError(
        f"the paramstyle of {type(connection).__module__} is not known: give "
        f"paramstyle= one of {', '.join(PARAMSTYLES)}"
    )


def is_dbapi_error(error: BaseException, name: str) -> bool:
    """Whether *error* is the DB-API's *name*, which fixes the names but not where they are."""
    return any(cls.__name__ == name for cls in type(error).__mro__)


def commits_by_itself(connection: Any) -> bool:
    """Whether *connection* is in autocommit mode, as far as it can tell.

    The DB-API leaves open how: the drivers have a method, or an attribute, which in the standard
    library's ``sqlite3`` may refer to another one.
    """
    ask = getattr(connection, "get_autocommit", None)
    if callable(ask):
        return bool(ask())
    told = getattr(connection, "autocommit", None)
    if isinstance(told, int) and told >= 0:
        return bool(told)
    return database_kind(connection) == "sqlite" and (
        getattr(connection, "isolation_level", "") is None
    )


def database_kind(connection: Any) -> Literal["sqlite", "mysql", "other"]:
    """What *connection* speaks to, by the names of its modules."""
    modules = [cls.__module__.lower() for cls in type(connection).__mro__]
    if _names_any(modules, ("sqlite",)):
        return "sqlite"
    return "mysql" if _names_any(modules, ("mysql", "mariadb")) else "other"


def _names_any(modules: Iterable[str], names: Iterable[str]) -> bool:
    return any(name in module for module in modules for name in names)
