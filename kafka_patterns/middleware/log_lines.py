"""One line in the log per call of a handler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kafka_patterns.middleware.chain import Middleware
from kafka_patterns.synchronous import refuse_async

__all__ = ["LoggingMiddleware"]


class LoggingMiddleware(Middleware):
    """Logs each call of a handler when it ended, with what a log of fields needs.

    :param logger: where to; ``kafka_patterns.messages`` if not given.
    :param level: of calls that succeed; failures are warnings at least.
    :param clock: seconds, for the duration.

    The fields are in ``extra``: ``topic``, ``partition``, ``offset``, ``messages`` (how many; 1
    but for batches), ``pattern``, ``handler``, ``correlation_id``, ``attempt``,
    ``duration_ms`` and ``exception_type`` (``None`` if there was none). Keys, values, headers
    and the texts of exceptions are never logged. Line breaks and other control characters in
    what peers sent are escaped.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        level: int = logging.INFO,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._logger = logger or logging.getLogger("kafka_patterns.messages")
        self._level = level
        refuse_async(clock, "clock")
        self._clock = clock

    def around(self, context: Any, call: Callable[[], Any]) -> Any:
        """Run *call*, and log how it ended."""
        begun = self._clock()
        try:
            result = call()
        except BaseException as error:
            self._log(context, begun, type(error).__name__)
            raise
        self._log(context, begun, None)
        return result

    def _log(self, context: Any, begun: float, exception_type: str | None) -> None:
        level = self._level if exception_type is None else max(self._level, logging.WARNING)
        if not self._logger.isEnabledFor(level):
            return
        duration_ms = (self._clock() - begun) * 1000
        fields = {
            "topic": context.topic,
            "partition": context.partition,
            "offset": context.message.offset,
            "messages": len(context.messages),
            "pattern": context.pattern,
            "handler": context.handler,
            "correlation_id": _one_line(context.correlation_id),
            "attempt": context.attempt,
            "duration_ms": round(duration_ms, 3),
            "exception_type": exception_type,
        }
        ending = "handled" if exception_type is None else f"failed with {exception_type}"
        self._logger.log(
            level,
            "%s[%d] offset %d %s by %s in %.1f ms, attempt %d, correlation id %s",
            context.topic,
            context.partition,
            context.message.offset,
            ending,
            context.handler,
            duration_ms,
            context.attempt,
            fields["correlation_id"],
            extra=fields,
        )


def _one_line(correlation_id: str | bytes | None) -> str | None:
    """Text that cannot forge a line of the log: whoever sends a request chooses its id."""
    if isinstance(correlation_id, bytes):
        return correlation_id.hex()
    if correlation_id is None or correlation_id.isprintable():
        return correlation_id
    return correlation_id.encode("unicode_escape").decode("ascii")
