"""SQL on any DB-API 2 connection, whatever its style of parameters."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

from kafka_patterns.errors import ConfigurationError

__all__ = ["PARAMSTYLES", "Statements", "is_dbapi_error"]

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
        cursor = self.connection.cursor()
        try:
            cursor.execute(*self._in_style(statement, parameters))
            return cursor.fetchone()
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
    module = sys.modules.get(type(connection).__module__.partition(".")[0])
    style = getattr(module, "paramstyle", None)
    if style not in PARAMSTYLES:
        raise ConfigurationError(
            f"the paramstyle of {type(connection).__module__} is not known: give "
            f"paramstyle= one of {', '.join(PARAMSTYLES)}"
        )
    return str(style)


def is_dbapi_error(error: BaseException, name: str) -> bool:
    """Whether *error* is the DB-API's *name*, which fixes the names but not where they are."""
    return any(cls.__name__ == name for cls in type(error).__mro__)
