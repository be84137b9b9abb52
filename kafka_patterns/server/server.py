"""The server: handlers for requests and events, and the loop that runs them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import attrs

from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.life import Life
from kafka_patterns.errors import ConfigurationError, NotConnected, TransportError
from kafka_patterns.failures.dead_letter import DeadLetter
from kafka_patterns.failures.filters import ExceptionFilter, check_filters
from kafka_patterns.failures.policy import Retry
from kafka_patterns.failures.retry_topics import RetryTopics
from kafka_patterns.middleware.chain import MiddlewareChain
from kafka_patterns.options import KafkaOptions
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.server.engine import Engine
from kafka_patterns.server.handlers import (
    Handler,
    handlers_of_controller,
    handlers_of_module,
    make_handler,
)
from kafka_patterns.server.health import NOT_RUNNING, ServerHealth
from kafka_patterns.server.marks import (
    Batch,
    Function,
    Ordering,
    event_pattern,
    marks_of,
    message_pattern,
)
from kafka_patterns.server.routes import Routes
from kafka_patterns.status import KafkaStatus

__all__ = ["ExitCode", "ServerKafka"]

_JOIN_MARGIN_SECONDS = 30.0
_WAIT_SLICE_SECONDS = 0.1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ExitCode:
    """How a process ends that called :meth:`ServerKafka.run`."""

    OK = 0
    KILLED = 130
    """A second signal ended it before it was drained."""


class ServerKafka(Life):
    """Runs handlers for requests and events of the topics they are registered for.

    :param options: a mapping or :class:`~kafka_patterns.KafkaOptions`.
    :raises ConfigurationError: for options that cannot work.
    """

    role_postfix = "-server"

    def __init__(self, options: Mapping[str, Any] | KafkaOptions | None = None) -> None:
        super().__init__(options)
        self._routes = Routes()
        self._filters: list[ExceptionFilter] = []
        self._middleware = MiddlewareChain()

    def _begin(self) -> None:
        super()._begin()
        self._engine: Engine | None = None
        self._stop_wanted = threading.Event()
        self._failure: BaseException | None = None
        self._interrupted = False

    def _what_is_open(self) -> Any:
        return self._engine

    # Handlers

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
            )
        )

    def _registrar(self, mark: Callable[[Function], Function]) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            before = len(marks_of(function))
            mark(function)
            for new in marks_of(function)[before:]:
                self._add(make_handler(new, function))
            return function

        return register

    def add_controller(self, controller: Any) -> None:
        """Register the marked methods of *controller*, an instance of any class.

        :raises ConfigurationError: if none is marked, or two handlers cannot stand together.
        """
        for handler in handlers_of_controller(controller):
            self._add(handler)

    def include(self, module: ModuleType) -> None:
        """Register the marked functions that *module* defines.

        :raises ConfigurationError: if there is none, or two handlers cannot stand together.
        """
        for handler in handlers_of_module(module):
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
        self._serialization.use(mark.pattern, mark.serializer, mark.deserializer)

    def _refuse_while_running(self, what: str) -> None:
        if self._engine is not None:
            raise ConfigurationError(f"{what} must come before start()")

    # Lifecycle

    def start(self, timeout: float | None = None) -> ServerKafka:
        """Connect, join the group, and return when it reads what it was assigned. Idempotent.

        :param timeout: seconds for the joining; the session timeout and 30 s more if not given,
            for a group waits that long for a dead member.
        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises GroupError: if the group does not accept this server.
        :raises TransportError: if it did not get to read in time.
        """
        with self._lifecycle:
            if self._engine is None:
                self._launch()
                try:
                    self._wait_until_reading(timeout)
                except BaseException:
                    self.stop(1.0)
                    raise
            return self

    def _launch(self) -> None:
        if not self._routes.topics and not self._routes.has_expressions:
            raise ConfigurationError(
                "the server has no handler: register one with @server.message_pattern or "
                "@server.event_pattern"
            )
        # The base is imported by the first start, not by importing or constructing.
        from kafka_patterns.transport.kafka_python.transport import KafkaPythonTransport

        self._stop_wanted.clear()
        self._failure = None
        self._callbacks.reopen()
        engine = Engine(
            self.options,
            KafkaPythonTransport(self.options, self.client_id),
            self._routes,
            self.group_id,
            self._name,
            self._status.set,
            self._fail,
        )
        try:
            engine.start(self._serialization, self._filters, self._middleware)
        except BaseException:
            self._status.set(KafkaStatus.DISCONNECTED)
            engine.stop(1.0)
            raise
        self._engine = engine
        self._close_at_exit()

    def _wait_until_reading(self, timeout: float | None) -> None:
        if timeout is None:
            timeout = self.options.consumer.session_timeout_ms / 1000 + _JOIN_MARGIN_SECONDS
        deadline = time.monotonic() + timeout
        while not self._status.wait_for(KafkaStatus.CONNECTED, _WAIT_SLICE_SECONDS):
            if self._failure is not None:
                raise self._failure
            if self._interrupted:
                return
            if time.monotonic() > deadline:
                raise TransportError(
                    f"the server does not read yet after {timeout:g} s: group "
                    f"{self.group_id!r} did not settle, or a leader of the topics "
                    f"{', '.join(self._routes.topics)} does not answer"
                )

    def _fail(self, error: BaseException) -> None:
        """From any thread: the server must stop, and ``run`` raise *error*."""
        self._failure = error
        self._status.set(KafkaStatus.CRASHED)
        self._stop_wanted.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Drain and end: running handlers finish, replies go out, offsets are committed.

        :param timeout: seconds it may take at most; ``run.stop_timeout_ms`` if not given.
        :returns: ``False`` if handlers still ran then, or something else was broken off.
        """
        if timeout is None:
            timeout = self.options.run.stop_timeout_ms / 1000
        self._stop_wanted.set()
        with self._lifecycle:
            engine, self._engine = self._engine, None
            if engine is None:
                return True
            self._not_at_exit()
            clean = engine.stop(timeout)
            self._status.set(KafkaStatus.STOPPED)
            self._callbacks.close(1.0)
            return clean

    def _close_within(self, seconds: float) -> None:
        self.stop(seconds)

    def __enter__(self) -> ServerKafka:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self) -> None:
        """Start, and block until SIGTERM, SIGINT or :meth:`stop`; then drain.

        A second signal ends the process at once with :attr:`ExitCode.KILLED`. Outside the main
        thread signals are left alone.

        :raises KafkaPatternsError: as :meth:`start`, or the error the server could not go on
            with.
        """
        self._interrupted = False
        with self._signals():
            self.start()
            while not (self._interrupted or self._stop_wanted.is_set()):
                time.sleep(_WAIT_SLICE_SECONDS)
            self.stop()
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            # Nothing but a flag: whatever takes a lock here may meet itself holding it.
            if self._interrupted:
                os._exit(ExitCode.KILLED)
            self._interrupted = True

        before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def health(self) -> ServerHealth:
        """How the server fares; at any time, from any thread."""
        engine = self._engine
        if engine is None:
            return (
                NOT_RUNNING
                if self._failure is None
                else attrs.evolve(
                    NOT_RUNNING, status=self._status.current, last_error=str(self._failure)
                )
            )
        return engine.health(self._status.current)

    # Drivers

    @property
    def producer(self) -> ProducerDriver:
        """A thread-safe face of the producer.

        :raises NotConnected: before ``start``.
        """
        return self._running().producer_driver

    @property
    def consumer(self) -> ConsumerDriver:
        """A thread-safe face of the consumer.

        :raises NotConnected: before ``start``.
        """
        return self._running().consumer_driver

    def unwrap(self) -> tuple[Any, Any, Any]:
        """kafka-python's own objects: producer, member, fetcher.

        :raises NotConnected: before ``start``.
        """
        return (self.producer.unwrap(), *self.consumer.unwrap())

    def _running(self) -> Engine:
        if self._engine is None:
            raise NotConnected("the server is not running: call start() first")
        return self._engine
