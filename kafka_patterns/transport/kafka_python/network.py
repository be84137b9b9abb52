"""The network client with a way out: a hung call can be broken off from another thread.

``poll``, ``commit``, ``position`` and ``close`` of kafka-python-ng loop without a bound while
a coordinator or leader is away. All of them pass through ``KafkaClient._poll``, so raising
there ends every one of them.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.client_async import KafkaClient
from kafka.conn import get_ip_port_afi
from kafka.errors import KafkaConnectionError, NodeNotReadyError
from kafka.future import Future as KafkaFuture
from kafka.util import WeakMethod

from kafka_patterns.transport.base import BrokenOff, Interrupted
from kafka_patterns.transport.kafka_python.connection import Connection
from kafka_patterns.transport.kafka_python.refusals import Refusals

__all__ = ["InterruptibleClient", "await_future"]

_FUTURE_SLICE_MS = 100
_SILENCE_SECONDS = 1.0


class _Selector(selectors.DefaultSelector):
    """Bears that a socket was closed meanwhile.

    When a broker is connected the base closes the first connection, by which it learned of the
    brokers; if that one had news in the same round, it then trips over its closed socket.
    """

    def unregister(self, fileobj: Any) -> Any:
        try:
            return super().unregister(fileobj)
        except ValueError:
            return None


class InterruptibleClient(KafkaClient):  # type: ignore[misc]  # the base has no types
    """A network client whose loops end once :meth:`interrupt` was called.

    :param refusals: told why a broker could not be used.
    :param watch: told after each round whether no broker can be reached. A client that is idle
        may have no connection; that is another thing.
    :param answer_timeout_ms: when an answer is late that does not wait for other members of a
        group; all connections are then opened anew. ``request_timeout_ms`` for each, if not given.
    """

    _sending: set[Any]
    _metadata_refresh_in_progress: bool

    def __init__(
        self,
        *,
        refusals: Refusals | None = None,
        watch: Callable[[bool], None] | None = None,
        answer_timeout_ms: float | None = None,
        **configs: Any,
    ) -> None:
        self.interrupted = False
        self._broken_off = False
        self._breakable = False  # whether what waits now may be broken off; by whoever has the lock
        self._watch = watch
        self._answer_timeout_ms = answer_timeout_ms
        self._refusals = Refusals() if refusals is None else refusals
        # Of the running refresh of metadata, by whoever has the lock: who was asked, and when.
        self._asked: set[Any] = set()
        self._asked_at = 0.0
        self._asks_another = False
        self._chosen: Any = None
        if configs.get("selector", selectors.DefaultSelector) is selectors.DefaultSelector:
            configs["selector"] = _Selector
        super().__init__(**configs)
        self._wake_w.setblocking(False)

    def wakeup(self) -> None:
        """From any thread: end a running wait for the network. Never waits itself.

        The base waits while too many earlier ones are unread, holding the lock that the thread
        needs which would read them; then it raises.
        """
        with self._wake_lock:
            try:
                self._wake_w.send(b"x")
            except OSError:
                pass  # full, and so awake already; or closed

    def least_loaded_node(self) -> Any:
        """Of those that the base holds equal, one that did not fail when it was tried last."""
        self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> Any:
        chosen = super().least_loaded_node()
        if chosen is None or not self._failures(chosen):
            return chosen
        load = self.in_flight_request_count(chosen)
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        equal = [
            node_id
            for node_id in nodes
            if not self._is_shunned(node_id) and self.in_flight_request_count(node_id) == load
        ]
        return min([chosen, *equal], key=self._failures)

    def _is_shunned(self, node_id: Any) -> bool:
        """Whether no attempt to connect is made for a moment, for the last one failed."""
        connection = self._conns.get(node_id)
        return connection is not None and bool(connection.blacked_out())

    def _failures(self, node_id: Any) -> int:
        broker = self.cluster.broker_metadata(node_id)
        return 0 if broker is None else self._refusals.times((broker.host, broker.port))

    def _maybe_refresh_metadata(self, wakeup: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Ask another broker as well when the one that was asked is silent for a second.

        The base would wait for it until ``request_timeout_ms`` is over. Either answer will do.
        """
        if self.cluster.ttl() > 0:
            self._asks_another = False
        elif self._metadata_refresh_in_progress:
            is_silent = time.monotonic() - self._asked_at > _SILENCE_SECONDS
            if is_silent and self.least_loaded_node() not in {None, *self._asked}:
                self._metadata_refresh_in_progress = False
                self._asks_another = True
        was_in_progress = self._metadata_refresh_in_progress
        delay = super()._maybe_refresh_metadata(wakeup=wakeup)
        if self._metadata_refresh_in_progress and not was_in_progress:
            self._asked = {self._chosen, *(self._asked if self._asks_another else ())}
            self._asks_another = False
            self._asked_at = time.monotonic()
        return delay

    def maybe_connect(self, node_id: Any, wakeup: bool = True) -> bool:  # noqa: FBT001, FBT002
        """To ask about topics, connect at once; the base would sleep for a backoff before."""
        return bool(super().maybe_connect(node_id, wakeup=wakeup or bool(self._topics)))

    def _maybe_connect(self, node_id: Any) -> bool:
        with self._lock:
            broker = self.cluster.broker_metadata(node_id)
            if node_id not in self._conns and broker is not None:
                self._conns[node_id] = self._connection_to(node_id, broker)
            return bool(super()._maybe_connect(node_id))

    def _connection_to(self, node_id: Any, broker: Any) -> Connection:
        host, _, family = get_ip_port_afi(broker.host)
        return Connection(
            host,
            broker.port,
            family,
            refusals=self._refusals,
            answer_timeout_ms=self._answer_timeout_ms,
            state_change_callback=WeakMethod(self._conn_state_change),
            node_id=node_id,
            **self.config,
        )

    def interrupt(self) -> None:
        """From any thread: every running and later wait for the network raises."""
        self.interrupted = True
        self.wakeup()

    def break_off(self) -> None:
        """From any thread: every running and later wait that is :meth:`breakable` raises."""
        self._broken_off = True
        self.wakeup()

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Waits inside are ended by :meth:`break_off`.

        :raises BrokenOff: from the wait.
        """
        before, self._breakable = self._breakable, True
        try:
            yield
        finally:
            self._breakable = before

    def _raise_if_ended(self) -> None:
        if self.interrupted:
            raise Interrupted
        if self._broken_off and self._breakable:
            raise BrokenOff

    def hang_up(self, error: Exception) -> None:
        """From any thread: close all connections; what is under way fails with *error*.

        Each is opened anew when it is needed.
        """
        with self._lock:
            for connection in list(self._conns.values()):
                connection.close(error)

    def poll(self, timeout_ms: float | None = None, future: KafkaFuture = None) -> list[Any]:
        """Poll; a wait for *future* ends when nobody is there to answer, in the base never.

        Without a timeout it is one short look: the base would sleep for as long as a request may
        take, and not see that the answer it waits for is late.

        :raises NodeNotReadyError: if there was no connection at all for a second.
        """
        if future is None:
            return list(super().poll(_FUTURE_SLICE_MS if timeout_ms is None else timeout_ms))
        responses: list[Any] = []
        last_connected = time.monotonic()
        while True:
            responses.extend(super().poll(0 if future.is_done else _FUTURE_SLICE_MS))
            if any(connection.connected() for connection in self._conns.values()):
                last_connected = time.monotonic()
            elif time.monotonic() - last_connected > _SILENCE_SECONDS:
                raise NodeNotReadyError("no broker is connected")
            if future.is_done:
                return responses

    def write_requests(self) -> None:
        """Send what :meth:`send` has queued, as far as the sockets take it now."""
        with self._lock:
            self._write_requests()

    def _write_requests(self) -> None:
        """The base waits for each socket to be writable, and polls once more for the answer.

        A connection may have closed since something was queued on it; its requests have failed
        already, and the base would trip over the missing socket.
        """
        if self._sending:
            self._sending = {
                connection
                for connection in self._sending
                if connection._sock
                and not connection.send_pending_requests_v2()
                and connection._sock
            }

    def _poll(self, timeout: float) -> None:
        self._raise_if_ended()
        self._write_requests()
        super()._poll(timeout)
        if self._answer_timeout_ms is not None:
            self._suspect_all()
        if self._watch is not None:
            connected = any(connection.connected() for connection in list(self._conns.values()))
            self._watch(not connected and bool(self._refusals.reasons()))
        self._raise_if_ended()

    def _suspect_all(self) -> None:
        """Where one connection died without a sign, others may have: each would be waited for."""
        late = [connection for connection in self._conns.values() if connection.take_lateness()]
        if late:
            self.hang_up(KafkaConnectionError("a broker did not answer"))


def await_future(client: KafkaClient, future: KafkaFuture, deadline: float) -> bool:
    """Drive *client* until *future* is done or the monotonic *deadline* passed."""
    while not future.is_done:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        client.poll(timeout_ms=min(remaining * 1000, 100))
    return True
