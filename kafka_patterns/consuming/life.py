"""What a client and a server have in common: names, status, a callback thread, fork and exit."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka_patterns.consuming.at_exit import call_at_exit
from kafka_patterns.consuming.callbacks import CallbackThread
from kafka_patterns.consuming.drivers import ConsumerDriver
from kafka_patterns.consuming.forks import begin_anew_after_fork
from kafka_patterns.options import KafkaOptions
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.status import StatusStream

__all__ = ["Life"]

T = TypeVar("T")

_EXIT_SECONDS = 5.0


class Life(ABC):
    """One client or server, from its construction on: its connections come and go meanwhile.

    :param options: a mapping or :class:`~kafka_patterns.KafkaOptions`.
    :raises ConfigurationError: for options that cannot work.
    """

    role_postfix: str
    """What is appended to client id and group id where the options give no ``postfix_id``."""

    def __init__(self, options: Mapping[str, Any] | KafkaOptions | None = None) -> None:
        self.options = KafkaOptions.of(options)
        self._name = f"kafka-patterns-{self.client_id}"
        self._serialization = Serialization(
            self.options.serializer, self.options.deserializer, self.options.converter
        )
        self._begin()
        self._status = StatusStream(self._submit)
        begin_anew_after_fork(self)

    def _submit(self, callback: Callable[[], object]) -> None:
        self._callbacks.submit(callback)

    def _begin(self) -> None:
        """Make what has connections, threads or locks: at first, and in every forked child."""
        self._callbacks = CallbackThread(f"{self._name}-callbacks")
        self._lifecycle = threading.RLock()  # held while connections are opened and closed
        self._not_at_exit: Callable[[], None] = _nothing  # takes _close_at_exit back

    def begin_anew(self) -> Any:
        """After a fork, in the child: not connected; what was open is the parent's."""
        inherited = self._what_is_open()
        self._begin()
        self._status.begin_anew()
        return inherited

    @abstractmethod
    def _what_is_open(self) -> Any:
        """What holds connections, threads and locks now."""

    def _close_at_exit(self) -> None:
        """Close the connections at the interpreter's exit, unless it is taken back."""
        self._not_at_exit = call_at_exit(self._exit)

    def _exit(self) -> None:
        self._close_within(_EXIT_SECONDS)

    @abstractmethod
    def _close_within(self, seconds: float) -> None:
        """Close the connections if they are open."""

    @property
    def client_id(self) -> str:
        """The client id on the wire; override it to change what is appended."""
        return self.options.client_id_for(self.role_postfix)

    @property
    def group_id(self) -> str:
        """The group id on the wire; override it to change what is appended."""
        return self.options.group_id_for(self.role_postfix)

    @property
    def status(self) -> StatusStream:
        """``connected``, ``disconnected``, ``rebalancing``, ``crashed``, ``stopped``."""
        return self._status

    @property
    @abstractmethod
    def consumer(self) -> ConsumerDriver:
        """A thread-safe face of the consumer.

        :raises NotConnected: if there is none, or not yet.
        """

    def run_on_consumer_thread(
        self, function: Callable[[Any], T], timeout: float | None = None
    ) -> T:
        """Run *function* with the group's ``KafkaConsumer`` in the thread that owns it."""
        return self.consumer.run_on_consumer_thread(function, timeout)


def _nothing() -> None:
    pass
