"""Middleware: what it may define, and how several of them enclose one call of a handler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = ["Middleware", "MiddlewareChain"]

logger = logging.getLogger("kafka_patterns.middleware")

_HOOKS = ("before", "around", "after")


class Middleware:
    """Base class of middleware, for those who like one; any object with one of the hooks will do.

    Hooks run in the thread that calls the handler, round the handler and its exception
    filters. Of several middlewares, the one added first is the outermost.

    ``before(context)``
        runs before the handler. What it raises counts as the handler's failure.
    ``around(context, call)``
        returns ``call()``, which runs what is inside and returns its result, or raises; or
        returns something else, as if the handler had. What it raises counts as the handler's
        failure.
    ``after(context, result=None, exception=None)``
        runs when what is inside has returned or raised, if ``before`` had not. What it raises
        is logged.

    All values of a generator handler have been sent by then; its result is the exhausted
    generator. A handler that defers has merely returned. The handler of a batch is called
    once, and ``context.messages`` are all its messages.
    """


@attrs.frozen
class _Layer:
    name: str
    before: Callable[[Any], object] | None
    around: Callable[[Any, Callable[[], Any]], Any] | None
    after: Callable[..., object] | None

    def run(self, context: Any, call: Callable[[], Any]) -> Any:
        if self.before is not None:
            refuse_awaitable(self.before(context), f"before() of middleware {self.name}")
        try:
            result = call() if self.around is None else self._around(context, call)
        except BaseException as error:
            self._finish(context, exception=error)
            raise
        self._finish(context, result=result)
        return result

    def _around(self, context: Any, call: Callable[[], Any]) -> Any:
        assert self.around is not None
        result = self.around(context, call)
        return refuse_awaitable(result, f"around() of middleware {self.name}")

    def _finish(self, context: Any, **ending: Any) -> None:
        if self.after is None:
            return
        try:
            ended = self.after(context, **ending)
            refuse_awaitable(ended, f"after() of middleware {self.name}")
        except BaseException:
            message = context.message
            logger.exception(
                "middleware %s failed after %s[%d] offset %d, which stays as it ended",
                self.name,
                message.topic,
                message.partition,
                message.offset,
            )


class MiddlewareChain:
    """Middlewares in the order in which they were added, the first one outermost.

    :raises ConfigurationError: for an object without any of the hooks or with one that is
        asynchronous, or a class.
    """

    def __init__(self, middlewares: Iterable[Any] = ()) -> None:
        self._middlewares = tuple(middlewares)
        self._layers = tuple(map(_layer, self._middlewares))

    def __bool__(self) -> bool:
        return bool(self._layers)

    def with_more(self, middlewares: Iterable[Any]) -> MiddlewareChain:
        """This chain with *middlewares* inside it.

        :raises ConfigurationError: as the class.
        """
        return MiddlewareChain((*self._middlewares, *middlewares))

    def run(self, context: Any, call: Callable[[], Any]) -> Any:
        """Return what *call* returns, or raises, with all middlewares round it."""
        return self._run_from(0, context, call)

    def _run_from(self, index: int, context: Any, call: Callable[[], Any]) -> Any:
        if index == len(self._layers):
            return call()
        return self._layers[index].run(context, lambda: self._run_from(index + 1, context, call))


def _layer(middleware: Any) -> _Layer:
    if isinstance(middleware, type):
        raise ConfigurationError(
            f"{middleware.__name__} is a class: pass an instance, {middleware.__name__}(...)"
        )
    hooks = [getattr(middleware, name, None) for name in _HOOKS]
    name = type(middleware).__name__
    if not any(map(callable, hooks)):
        raise ConfigurationError(
            f"middleware {name} has no hook: define before(context), around(context, call) or "
            "after(context, result=None, exception=None)"
        )
    for hook in filter(None, hooks):
        refuse_async(hook, "middleware")
    return _Layer(name, *hooks)
