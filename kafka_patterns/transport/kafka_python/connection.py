"""Connections that know why they failed, and which of their answers are late.

kafka-python-ng closes a connection that it cannot use and connects again, for ever; the reason
is lost or in a log. Here it is kept, and what it lets through as another error is closed too.
"""

from __future__ import annotations

import logging
import math
import selectors
import ssl
import time
from typing import Any

from kafka.conn import BrokerConnection, ConnectionStates
from kafka.errors import (
    KafkaConnectionError,
    KafkaProtocolError,
    NoBrokersAvailable,
    NodeNotReadyError,
)
from kafka.future import Future as KafkaFuture
from kafka.protocol.commit import GroupCoordinatorRequest
from kafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.sasl import scram

from kafka_patterns.transport.kafka_python.refusals import Peer, Refusal, Refusals

__all__ = ["Connection"]

_LOOKUP_TIMEOUT_MS = 5_000.0
_CONNECT_TIMEOUT_MS = 10_000
_SIGN_IN_TIMEOUT_MS = 5_000
_LOOK_SECONDS = 0.01
_SIZE_BYTES = 4
_BEGINNING_BYTES = 8  # of each answer: its size, and the correlation id of its request
_ENCRYPTED = ("SSL", "SASL_SSL")
_WAIT_FOR_OTHERS = (JoinGroupRequest[0].API_KEY, SyncGroupRequest[0].API_KEY)
"""What a broker answers when all members of the group have asked it."""

# The base logs signing in by SCRAM to the root logger.
scram.log = logging.getLogger("kafka.sasl.scram")


class Connection(BrokerConnection):  # type: ignore[misc]  # the base has no types
    """A connection to one broker.

    :param refusals: told why an attempt failed.
    :param answer_timeout_ms: when an answer is late, and the connection taken for dead, except one
        that waits for the other members of a group: that has ``request_timeout_ms``, as all have if
        this is not given.
    """

    config: dict[str, Any]

    def __init__(
        self,
        *arguments: Any,
        refusals: Refusals,
        answer_timeout_ms: float | None = None,
        **configs: Any,
    ) -> None:
        super().__init__(*arguments, **configs)
        self._answer_timeout_ms = answer_timeout_ms
        self._due: int | None = None  # the request whose answer is due next, and since when
        self._due_since = 0.0
        self._is_late = False
        if configs.get("connection_timeout_ms") is None:
            # The base takes the time of a request for an attempt, which is minutes for a member.
            self.config["connection_timeout_ms"] = _CONNECT_TIMEOUT_MS
        self._refusals = refusals
        self._peer = Peer(
            (self.host, self.port),
            self.config["security_protocol"] in _ENCRYPTED,
            self.config["sasl_mechanism"],
            self.config["sasl_plain_username"],
        )
        self._begin()

    def _begin(self) -> None:
        # Also `close` of the base makes one, of its own kind.
        self._protocol = _Protocol(self.config["client_id"], self.config["api_version"])
        self._due = None
        self._answered = False
        self._hung_up = False
        self._tls_error: OSError | None = None
        self._offered: list[str] = []

    def connect(self) -> Any:
        if self.disconnected():
            self._begin()
        return super().connect()

    def connect_blocking(self, timeout: float = math.inf) -> bool:
        """Try all addresses of the host, with a pause between them, which the base leaves out."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.connect()
            if self.connected():
                return True
            if self.disconnected() and not self._gai:
                return False
            self._wait_a_moment(selectors.EVENT_WRITE)
        return False

    def close(self, error: BaseException | None = None) -> None:
        if self._is_only_tls_chatter(error):
            return
        if error is not None:
            refusal = self._explain(error)
            if refusal is not None:
                self._refusals.note(self._peer.address, refusal)
        super().close(error)

    def _explain(self, error: BaseException) -> Refusal | None:
        # Under TLS 1.3 the broker judges the client's certificate after the handshake.
        alerted = self._tls_error is not None and not isinstance(self._tls_error, ssl.SSLEOFError)
        if alerted or self.state is ConnectionStates.HANDSHAKE:
            return self._peer.tls_failed(self._tls_error or error)
        if isinstance(error, _SpeaksTls):
            return self._peer.speaks_tls()
        if self.state is ConnectionStates.AUTHENTICATING:
            return self._peer.sign_in_failed(error, hung_up=self._hung_up, offered=self._offered)
        if self.state is ConnectionStates.CONNECTED:
            return None if self._answered else self._peer.gave_no_answer(error)
        if self.state is ConnectionStates.CONNECTING or "DNS" in str(error):
            return self._peer.unreachable(error)
        return None

    def _is_only_tls_chatter(self, error: BaseException | None) -> bool:
        """Whether the base closes for a TLS 1.3 session ticket, which is no answer to anything."""
        if not (self._peer.encrypted and self.connected() and "EVENT_READ" in str(error)):
            return False
        try:
            self._sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False

    def _try_handshake(self) -> bool:
        try:
            self._sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._wait_a_moment()
            return False
        except OSError as error:
            self._close_for(error)
            return False
        return True

    def _close_for(self, error: OSError) -> None:
        self._tls_error = error
        self.close(KafkaConnectionError(str(error)))

    def _try_authenticate(self) -> bool:
        usual = self.config
        self.config = {
            **usual,
            # The base blocks on each step of signing in for as long as a request may take.
            "request_timeout_ms": min(usual["request_timeout_ms"], _SIGN_IN_TIMEOUT_MS),
            # It forgets the answer just read if it finds the connection closed behind it.
            "sock_chunk_buffer_count": 1,
        }
        try:
            done = bool(super()._try_authenticate())
        except Exception as error:  # noqa: BLE001  whatever ended it, the connection is no use
            self.close(error)
            return False
        finally:
            self.config = usual
        if not done and self.state is ConnectionStates.AUTHENTICATING:
            self._wait_a_moment()
        return done

    def _handle_sasl_handshake_response(self, future: KafkaFuture, response: Any) -> Any:
        self._offered = list(response.enabled_mechanisms)
        return super()._handle_sasl_handshake_response(future, response)

    def _wait_a_moment(self, event: int = selectors.EVENT_READ) -> None:
        """For an answer. The base would ask again at once, which takes a whole processor."""
        with selectors.DefaultSelector() as selector:
            if self._sock is not None:
                selector.register(self._sock, event)
            selector.select(_LOOK_SECONDS)

    def _send_bytes_blocking(self, data: bytes) -> int:
        try:
            return int(super()._send_bytes_blocking(data))
        except ssl.SSLError as error:
            self._tls_error = error
            raise ConnectionError(str(error)) from error

    def _recv_bytes_blocking(self, size: int) -> bytes:
        try:
            return bytes(super()._recv_bytes_blocking(size))
        except ssl.SSLError as error:
            self._tls_error = error
            raise ConnectionError(str(error)) from error
        except ConnectionError:
            self._hung_up = True
            raise

    def _recv(self) -> Any:
        usual = self.config["sock_chunk_buffer_count"]
        if not (self._protocol.is_kafka or self._peer.encrypted):
            # The base throws away what it read if it finds the connection closed behind it, and
            # a stranger says who he is and hangs up. Under TLS a rest would lie unseen.
            self.config["sock_chunk_buffer_count"] = 1
        try:
            responses = super()._recv()
        except ssl.SSLError as error:
            self._close_for(error)
            return ()
        finally:
            self.config["sock_chunk_buffer_count"] = usual
        if responses and self.connected() and not self._answered:
            self._answered = True
            self._refusals.forget(self._peer.address)
        return responses

    def requests_timed_out(self) -> bool:
        """Whether the answer that is due next is late.

        Answers come in the order of the requests: the time of each begins when those before it
        are answered. By the monotonic clock, for a wall clock that is set would end them all.
        """
        with self._lock:
            waiting = self._protocol.in_flight_requests
            if not waiting:
                self._due = None
                return False
            due, request = waiting[0]
            now = time.monotonic()
            if due != self._due:
                self._due, self._due_since = due, now
            self._is_late = (now - self._due_since) * 1000 >= self._timeout_ms_of(request)
            return self._is_late

    def take_lateness(self) -> bool:
        """Whether an answer was late since this was asked last."""
        was_late, self._is_late = self._is_late, False
        return was_late

    def _timeout_ms_of(self, request: Any) -> float:
        if self._answer_timeout_ms is None or request.API_KEY in _WAIT_FOR_OTHERS:
            return float(self.config["request_timeout_ms"])
        if request.API_KEY == GroupCoordinatorRequest[0].API_KEY:
            return min(self._answer_timeout_ms, _LOOKUP_TIMEOUT_MS)  # any other broker can tell
        return self._answer_timeout_ms

    def check_version(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().check_version(*arguments, **named)
        except (NodeNotReadyError, ValueError) as error:
            # The base would go on with this broker without a pause, or it waits for a socket
            # that it has closed. Another broker may answer.
            raise NoBrokersAvailable from error


class _Stranger(KafkaConnectionError, KafkaProtocolError):  # type: ignore[misc]  # no types
    """What listens there does not speak Kafka."""


class _SpeaksTls(_Stranger):
    """The broker answered with a TLS record."""


class _Protocol(KafkaProtocol):  # type: ignore[misc]  # the base has no types
    """Looks at the first bytes that a connection gives, however they come.

    The base would take any four bytes for the size of an answer, and make room for it at once:
    350 MB for a TLS record, 1.2 GB for HTTP. An answer repeats the id of its request; a stranger
    does not. Bytes in the middle of an answer say nothing, and are not looked at.
    """

    def __init__(self, client_id: str, api_version: tuple[int, ...] | None) -> None:
        super().__init__(client_id=client_id, api_version=api_version)
        self._beginning = b""
        self.is_kafka = False

    def receive_bytes(self, data: bytes) -> list[Any]:
        if not self.is_kafka:
            # Held back until it can be judged.
            self._beginning = data = self._beginning + data
            if _is_tls_alert(data):
                raise _SpeaksTls("the broker speaks TLS")
            if len(data) < _BEGINNING_BYTES:
                return []
            beginning = data[:_BEGINNING_BYTES]
            if not self._is_answer(beginning):
                raise _Stranger(f"what listens there does not speak Kafka: {beginning!r}")
            self.is_kafka, self._beginning = True, b""
        return list(super().receive_bytes(data))

    def _is_answer(self, beginning: bytes) -> bool:
        if not self.in_flight_requests:
            return False
        asked: int = self.in_flight_requests[0][0]
        return int.from_bytes(beginning[_SIZE_BYTES:], "big") == asked


def _is_tls_alert(beginning: bytes) -> bool:
    """Whether this is a TLS record that says what is wrong: of any version, two bytes long.

    No answer begins so: it would be the 33 millionth of its connection, and of 350 MB.
    """
    return beginning[:2] == b"\x15\x03" and beginning[3:5] == b"\x00\x02"
