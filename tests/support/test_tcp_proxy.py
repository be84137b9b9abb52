"""The proxy does to connections what it says, and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.tcp_proxy import HEARTBEAT, JOIN_GROUP, Faults, TcpProxy
from tests.support.waiting import eventually


@contextmanager
def echo_server() -> Iterator[int]:
    """Sends back what comes; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            try:
                with connection:
                    while data := connection.recv(65536):
                        connection.sendall(data)
            except OSError:
                pass  # the test reset it

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with echo_server() as port, TcpProxy(port) as running:
        yield running


@contextmanager
def connected(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        yield connection


def ask(connection: socket.socket, data: bytes = b"hello") -> bytes:
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        received = connection.recv(65536)
        if not received:
            raise ConnectionError("the connection ended")
        answer += received
    return answer


def test_bytes_pass_whole_also_in_pieces(proxy: TcpProxy) -> None:
    data = bytes(range(256)) * 20
    proxy.set_faults(Faults(piece_bytes=700, piece_seconds=0.001))

    with connected(proxy) as connection:
        assert ask(connection, data) == data


@pytest.mark.parametrize("direction", ["stall_to_broker", "stall_to_client"])
def test_what_was_stalled_arrives_afterwards(proxy: TcpProxy, direction: str) -> None:
    with connected(proxy) as connection:
        assert ask(connection) == b"hello"

        proxy.set_faults(Faults(**{direction: True}))
        connection.settimeout(0.2)
        connection.sendall(b"later")
        with pytest.raises(TimeoutError):
            connection.recv(100)

        proxy.heal()
        connection.settimeout(10)
        assert connection.recv(100) == b"later"


def test_what_is_dropped_silently_never_arrives_and_nobody_is_told(proxy: TcpProxy) -> None:
    with connected(proxy) as old:
        assert ask(old) == b"hello"

        proxy.drop_silently()
        old.settimeout(0.2)
        old.sendall(b"lost")
        with pytest.raises(TimeoutError):
            old.recv(100)
        proxy.heal()
        old.sendall(b"still lost")
        with pytest.raises(TimeoutError):
            old.recv(100)

        with connected(proxy) as new:
            assert ask(new) == b"hello"


def test_a_connection_is_known_by_what_its_client_asks(proxy: TcpProxy) -> None:
    def request(api_key: int) -> bytes:
        return struct.pack(">ih", 6, api_key) + b"rest"

    with connected(proxy) as heartbeats, connected(proxy) as joins:
        for byte in request(HEARTBEAT):
            ask(heartbeats, bytes([byte]))
        ask(joins, request(3) + request(JOIN_GROUP))

        assert sorted(map(sorted, (c.api_keys for c in proxy.connections))) == [
            [3, JOIN_GROUP],
            [HEARTBEAT],
        ]
        proxy.drop_silently(lambda connection: JOIN_GROUP in connection.api_keys)
        ask(heartbeats, request(HEARTBEAT))


def test_refused_connections_are_welcome_after_healing(proxy: TcpProxy) -> None:
    with connected(proxy) as connection:
        assert ask(connection) == b"hello"
        proxy.refuse()
        with pytest.raises(ConnectionError):
            ask(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10)

    proxy.heal()

    with connected(proxy) as connection:
        assert ask(connection) == b"hello"
    eventually(lambda: not proxy.connections, describe="the end of all connections")
