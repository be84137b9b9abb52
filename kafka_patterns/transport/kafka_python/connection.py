"""Connections that know why they failed.

kafka-python-ng closes a connection that it cannot use and connects again, for ever; the reason
is lost or in a log. Here it is kept, and what it lets through as another error is closed too.
"""

from __future__ import annotations

import logging
import math
import selectors
import socket
import ssl
import time
from typing import Any

from kafka.conn import BrokerConnection, ConnectionStates
from kafka.errors import KafkaConnectionError, NoBrokersAvailable, NodeNotReadyError
from kafka.future import Future as KafkaFuture
from kafka.sasl import scram

from kafka_patterns.transport.kafka_python.refusals import Peer, Refusal, Refusals

__all__ = ["Connection"]

_CONNECT_TIMEOUT_MS = 10_000
_SIGN_IN_TIMEOUT_MS = 5_000
_LOOK_SECONDS = 0.01
_SIZE_BYTES = 4
_LARGEST_FIRST_ANSWER = 100_000_000
_TLS_ALERT = b"\x15\x03"  # how a TLS record begins that says what is wrong
_ENCRYPTED = ("SSL", "SASL_SSL")

# The base logs signing in by SCRAM to the root logger.
scram.log = logging.getLogger("kafka.sasl.scram")


class Connection(BrokerConnection):  # type: ignore[misc]  # the base has no types
    """A connection to one broker.

    :param refusals: told why an attempt failed.
    """

    config: dict[str, Any]

    def __init__(self, *arguments: Any, refusals: Refusals, **configs: Any) -> None:
        super().__init__(*arguments, **configs)
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
        if not self._answered and not self._peer.encrypted:
            stranger = _stranger(self._beginning())
            if stranger is not None:
                self.close(stranger)
                return ()
        try:
            responses = super()._recv()
        except ssl.SSLError as error:
            self._close_for(error)
            return ()
        if responses and self.connected() and not self._answered:
            self._answered = True
            self._refusals.forget(self._peer.address)
        return responses

    def _beginning(self) -> bytes:
        """The first bytes of what there is to read."""
        with self._lock:
            try:
                return bytes(self._sock.recv(_SIZE_BYTES, socket.MSG_PEEK))
            except (OSError, AttributeError):
                return b""

    def check_version(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().check_version(*arguments, **named)
        except (NodeNotReadyError, ValueError) as error:
            # The base would go on with this broker without a pause, or it waits for a socket
            # that it has closed. Another broker may answer.
            raise NoBrokersAvailable from error


class _SpeaksTls(KafkaConnectionError):  # type: ignore[misc]  # the base has no types
    """The broker answered with a TLS record."""


def _stranger(beginning: bytes) -> KafkaConnectionError | None:
    """Who answers, if it is no Kafka.

    The base would take any four bytes for the size of an answer, and make room for it at once:
    350 MB for a TLS record, 1.2 GB for HTTP.
    """
    if beginning.startswith(_TLS_ALERT):
        return _SpeaksTls("the broker speaks TLS")
    if len(beginning) == _SIZE_BYTES and int.from_bytes(beginning, "big") > _LARGEST_FIRST_ANSWER:
        return KafkaConnectionError(f"what listens there does not speak Kafka: {beginning!r}")
    return None
