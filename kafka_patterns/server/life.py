"""A server's life: starting and stopping, the signals of its process, health, drivers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

import attrs

from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.life import Life
from kafka_patterns.errors import ConfigurationError, NotAuthorized, NotConnected, TransportError
from kafka_patterns.failures.filters import ExceptionFilter
from kafka_patterns.middleware.chain import MiddlewareChain
from kafka_patterns.options import KafkaOptions
from kafka_patterns.server.engine import Engine
from kafka_patterns.server.health import NOT_RUNNING, ServerHealth
from kafka_patterns.server.routes import Routes
from kafka_patterns.server.signals import StopSignals
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.loading import load_transport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ServerLife"]

logger = logging.getLogger("kafka_patterns.server")

_JOIN_MARGIN_SECONDS = 30.0
_BREAK_OFF_SECONDS = 2.0
_WAIT_SLICE_SECONDS = 0.1


class ServerLife(Life):
    """What a server is beside its handlers."""

    role_postfix = "-server"

    def __init__(self, options: Mapping[str, Any] | KafkaOptions | None = None) -> None:
        self._signals = StopSignals()
        super().__init__(options)
        self._routes = Routes()
        self._filters: list[ExceptionFilter] = []
        self._middleware = MiddlewareChain()

    def _begin(self) -> None:
        super()._begin()
        self._engine: Engine | None = None
        self._starting: Engine | None = None  # while it connects, which can be broken off
        self._ending: Engine | None = None  # while it drains
        self._stops = 0  # asked for so far: a start sees by it that one came meanwhile
        self._stopper: threading.Thread | None = None
        self._failing = threading.Lock()  # guards the failure: what the status says depends on it
        self._failure: BaseException | None = None
        self._signals.forget()

    def _what_is_open(self) -> Any:
        return self._engine

    def start(self, timeout: float | None = None) -> Self:
        """Connect, join the group, and return when it reads what it was assigned. Idempotent.

        :param timeout: seconds for the joining; the session timeout and 30 s more if not given,
            for a group waits that long for a dead member.
        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises GroupError: if the group does not accept this server.
        :raises NotAuthorized: if the right to read a topic is missing.
        :raises TransportError: if it did not get to read in time.
        :raises NotConnected: if it was stopped meanwhile.
        """
        if not self._start(timeout, self._stops):
            raise NotConnected("the server was stopped while it started")
        return self

    def _start(self, timeout: float | None, stops: int) -> bool:
        """Start; ``False`` if there were more than so many *stops*, or a signal, meanwhile."""
        with self._lifecycle:
            if self._engine is not None:
                return True
            try:
                self._launch(stops)
                return self._reads(timeout, stops)
            except BaseException as error:
                self._end(1.0)
                if isinstance(error, TransportError) and self._is_stopped(stops):
                    return False
                raise

    def _is_stopped(self, stops: int) -> bool:
        return self._signals.came or self._stops != stops

    def _launch(self, stops: int) -> None:
        if not self._routes.topics and not self._routes.has_expressions:
            raise ConfigurationError(
                "the server has no handler: register one with @server.message_pattern or "
                "@server.event_pattern"
            )
        self._failure = None
        self._callbacks.reopen()
        engine = self._starting = self._make_engine()
        try:
            if self._is_stopped(stops):
                engine.break_off_start()  # the stop came before it could see this engine
            engine.start(self._serialization, self._filters, self._middleware)
        except BaseException:
            stopped = self._is_stopped(stops)
            self._status.set(KafkaStatus.STOPPED if stopped else KafkaStatus.DISCONNECTED)
            engine.stop(1.0)
            raise
        finally:
            self._starting = None
        self._engine = engine
        self._close_at_exit()

    def _make_engine(self) -> Engine:
        return Engine(
            self.options,
            load_transport(self.options, self.client_id),
            self._routes,
            self.group_id,
            self._name,
            self._set_status,
            self._fail,
        )

    def _reads(self, timeout: float | None, stops: int) -> bool:
        """Wait until everything that was assigned is read; ``False`` if it is stopped first."""
        if timeout is None:
            timeout = self.options.consumer.session_timeout_ms / 1000 + _JOIN_MARGIN_SECONDS
        deadline = time.monotonic() + timeout
        while not self._status.wait_for(KafkaStatus.CONNECTED, _WAIT_SLICE_SECONDS):
            if self._failure is not None:
                raise self._failure
            if self._is_stopped(stops):
                return False
            if time.monotonic() > deadline:
                error = None if self._engine is None else self.health().last_error
                raise TransportError(
                    f"the server does not read yet after {timeout:g} s: "
                    + (
                        error
                        or f"group {self.group_id!r} did not settle, or a leader of the topics "
                        f"{', '.join(self._routes.topics)} does not answer"
                    )
                )
        forbidden = {one.reason for one in self.health().stalled if one.is_forbidden}
        if forbidden:
            raise NotAuthorized("; ".join(sorted(forbidden)))
        return True

    def _fail(self, error: BaseException) -> None:
        """From any thread: the server cannot go on; it stops, and ``run`` raises *error*."""
        with self._failing:
            if self._failure is not None:
                return  # it stops already
            self._failure = error
            self._status.set(KafkaStatus.CRASHED)
        self._stop_elsewhere(self._end_crashed)

    def _end_crashed(self) -> None:
        """Leave the group to others; the status tells why until somebody stops the server."""
        with self._lifecycle:
            self._end(self.options.run.stop_timeout_ms / 1000, KafkaStatus.CRASHED)

    def _set_status(self, status: KafkaStatus) -> None:
        """For the engine: until it has stopped, its parts may still say that they are well."""
        with self._failing:
            if self._failure is None:
                self._status.set(status)

    def stop(self, timeout: float | None = None) -> bool:
        """Drain and end: running handlers finish, replies go out, offsets are committed.

        A start or a join that is under way is broken off. A handler that calls it gets ``True`` at
        once: the server stops in a thread of its own, and waits for that handler too.

        :param timeout: seconds it may take at most; ``run.stop_timeout_ms`` if not given.
        :returns: ``False`` if handlers still ran then, or something else was broken off.
        """
        if timeout is None:
            timeout = self.options.run.stop_timeout_ms / 1000
        engine = self._engine or self._ending or self._starting
        if engine is not None and engine.runs_here:
            self._stop_elsewhere(lambda: self._stop(timeout))
            return True
        return self._stop(timeout)

    def _stop_elsewhere(self, stop: Callable[[], object]) -> None:
        """In a thread of its own, for a thread that the stop waits for cannot wait for it."""
        stopper = threading.Thread(target=stop, name=f"{self._name}-stopper")
        self._stopper = stopper
        try:
            stopper.start()
        except RuntimeError:
            self._stopper = None  # the interpreter exits: it stops the server itself

    def _stop(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        self._stops += 1
        starting = self._starting
        if starting is not None:
            starting.break_off_start()
        # What a start that hangs cannot be broken off, a name lookup for example, is left behind.
        patience = timeout if starting is None else min(timeout, _BREAK_OFF_SECONDS)
        if not self._lifecycle.acquire(timeout=max(0.0, patience)):
            logger.warning("the server is left behind while it starts or stops elsewhere")
            return False
        try:
            return self._end(max(0.0, deadline - time.monotonic()))
        finally:
            self._lifecycle.release()

    def _end(self, timeout: float, status: KafkaStatus = KafkaStatus.STOPPED) -> bool:
        engine = self._ending = self._engine
        self._engine = None
        clean = True
        if engine is not None:
            self._not_at_exit()
            clean = engine.stop(timeout)
            self._ending = None
        if status is KafkaStatus.STOPPED and (engine is not None or self._failure is not None):
            self._status.set(status)
            self._callbacks.close(1.0)
        return clean

    def _close_within(self, seconds: float) -> None:
        self.stop(seconds)

    def __enter__(self) -> Self:
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
        stops, self._failure = self._stops, None
        with self._signals.heeded():
            self._start_in_background(stops)
            while not (self._is_stopped(stops) or self._failure is not None):
                time.sleep(_WAIT_SLICE_SECONDS)
            if self._stopper is not None:
                self._stopper.join()  # first: it was told how long it may take
            self.stop()
        if self._failure is not None:
            raise self._failure

    def _start_in_background(self, stops: int) -> None:
        """Start, in a thread of its own: a signal is seen meanwhile, whatever the start waits for.

        Returns when it has started, or is to stop.
        """
        started: Future[bool] = Future()

        def start() -> None:
            try:
                started.set_result(self._start(None, stops))
            except BaseException as error:  # noqa: BLE001  it belongs to the thread that waits
                started.set_exception(error)

        threading.Thread(target=start, name=f"{self._name}-starter", daemon=True).start()
        while not wait_for_futures([started], _WAIT_SLICE_SECONDS).done:
            if self._is_stopped(stops):
                return
        started.result()

    def health(self) -> ServerHealth:
        """How the server fares; at any time, from any thread."""
        engine = self._engine
        if engine is None:
            last_error = None if self._failure is None else str(self._failure)
            return attrs.evolve(NOT_RUNNING, status=self._status.current, last_error=last_error)
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
