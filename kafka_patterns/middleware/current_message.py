"""The message that is worked on, for code that is not handed it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from kafka_patterns.message import IncomingMessage
from kafka_patterns.middleware.chain import Middleware

__all__ = ["CurrentMessageMiddleware", "current_context", "current_message"]

_current: ContextVar[Any] = ContextVar("kafka_patterns_current_context", default=None)


class CurrentMessageMiddleware(Middleware):
    """Makes :func:`current_message` and :func:`current_context` work inside handlers.

    It is a ``contextvars`` variable: threads that a handler starts know nothing of it, unless
    they run in a ``contextvars.copy_context()``.
    """

    def around(self, context: Any, call: Callable[[], Any]) -> Any:
        """Have *context* be the current one while *call* runs."""
        token = _current.set(context)
        try:
            return call()
        finally:
            _current.reset(token)


def current_context() -> Any:
    """The ``KafkaContext`` of the handler that runs here, or ``None`` outside of handlers."""
    return _current.get()


def current_message() -> IncomingMessage | None:
    """The message that is handled here, of a batch its first; ``None`` outside of handlers."""
    context = _current.get()
    return None if context is None else context.message
