"""The server: handlers for requests and events, registered before it starts."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from cattrs import Converter

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.dead_letter import DeadLetter
from kafka_patterns.failures.filters import ExceptionFilter, check_filters
from kafka_patterns.failures.policy import Retry
from kafka_patterns.failures.retry_topics import RetryTopics
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.server.handlers import (
    Handler,
    handlers_of_controller,
    handlers_of_module,
    make_handler,
)
from kafka_patterns.server.life import ServerLife
from kafka_patterns.server.marks import (
    Batch,
    Function,
    HandlerKind,
    Ordering,
    event_pattern,
    marks_of,
    message_pattern,
)

__all__ = ["ServerKafka"]


class ServerKafka(ServerLife):
    """Runs handlers for requests and events of the topics they are registered for.

    :param options: a mapping or :class:`~kafka_patterns.KafkaOptions`.
    :raises ConfigurationError: for options that cannot work.
    """

    def message_pattern(
        self,
        pattern: Any,
        *,
        ordering: Ordering | None = None,
        max_concurrency: int | None = None,
        retry: Retry | None = None,
        dead_letter: DeadLetter | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        converter: Converter | None = None,
    ) -> Callable[[Function], Function]:
        """Register a function for requests on *pattern*: what it returns is the reply.

        Takes what :func:`kafka_patterns.message_pattern` takes.
        """
        return self._registrar(
            message_pattern(
                pattern,
                ordering=ordering,
                max_concurrency=max_concurrency,
                retry=retry,
                dead_letter=dead_letter,
                serializer=serializer,
                deserializer=deserializer,
                converter=converter,
            )
        )

    def event_pattern(
        self,
        pattern: Any,
        *,
        ordering: Ordering | None = None,
        max_concurrency: int | None = None,
        batch: Batch | None = None,
        retry: Retry | RetryTopics | None = None,
        dead_letter: DeadLetter | None = None,
        deserializer: Deserializer | None = None,
        converter: Converter | None = None,
    ) -> Callable[[Function], Function]:
        """Register a function for events on *pattern*.

        Takes what :func:`kafka_patterns.event_pattern` takes.
        """
        return self._registrar(
            event_pattern(
                pattern,
                ordering=ordering,
                max_concurrency=max_concurrency,
                batch=batch,
                retry=retry,
                dead_letter=dead_letter,
                deserializer=deserializer,
                converter=converter,
            )
        )

    def _registrar(self, mark: Callable[[Function], Function]) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            before = len(marks_of(function))
            mark(function)
            for new in marks_of(function)[before:]:
                self._add(make_handler(new, function, serialization=self._serialization))
            return function

        return register

    def add_controller(self, controller: Any) -> None:
        """Register the marked methods of *controller*, an instance of any class.

        :raises ConfigurationError: if none is marked, or two handlers cannot stand together.
        """
        for handler in handlers_of_controller(controller, self._serialization):
            self._add(handler)

    def include(self, module: ModuleType) -> None:
        """Register the marked functions that *module* defines.

        :raises ConfigurationError: if there is none, or two handlers cannot stand together.
        """
        for handler in handlers_of_module(module, self._serialization):
            self._add(handler)

    def use_global_filters(self, *filters: ExceptionFilter) -> None:
        """Exception filters for all handlers, asked after those of the function and class."""
        check_filters(filters)
        self._refuse_while_running("use_global_filters")
        self._filters.extend(filters)

    def add_middleware(self, *middlewares: Any) -> None:
        """Run *middlewares* round each call of a handler, inside of those added before.

        :param middlewares: objects with ``before``, ``around`` or ``after``, see
            :class:`~kafka_patterns.Middleware`.
        :raises ConfigurationError: for an object with none of them, or when the server runs.
        """
        self._refuse_while_running("add_middleware")
        self._middleware = self._middleware.with_more(middlewares)

    def _add(self, handler: Handler) -> None:
        self._refuse_while_running("registering a handler")
        self._routes.add(handler)
        mark = handler.mark
        if mark.kind is HandlerKind.MESSAGE:
            # For its replies. What an event handler reads with is its own: others of its topic
            # read with theirs.
            self._serialization.use(mark.pattern, mark.serializer, converter=mark.converter)

    def _refuse_while_running(self, what: str) -> None:
        if self._engine is not None:
            raise ConfigurationError(f"{what} must come before start()")
