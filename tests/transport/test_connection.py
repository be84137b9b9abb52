"""What a connection makes of the first bytes that it is given."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest
from kafka.future import Future as KafkaFuture
from kafka.protocol.fetch import FetchRequest, FetchResponse
from kafka.protocol.types import Int32

from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.kafka_python.connection import Connection
from kafka_patterns.transport.kafka_python.refusals import Refusals
from tests.support.waiting import eventually
from tests.transport.parts import Parts, produce, read, values

FETCH = FetchRequest[4](-1, 500, 1, 1 << 20, 0, [("hero", [(0, 0, 1 << 20)])])
LOOKS_LIKE_TLS = b"\x15\x03\x03\x00\x02" * 300
LOOKS_HUGE = b"\x7f\xff\xff\xff" * 400


class Far:
    """The broker's end of one connection, and ours."""

    def __init__(self, listener: socket.socket) -> None:
        self.refusals = Refusals()
        host, port = listener.getsockname()
        self.near = Connection(host, port, socket.AF_INET, refusals=self.refusals)
        self._listener = listener
        self._far: socket.socket | None = None

    def ask(self) -> KafkaFuture:
        """Connect, if need be, and send a question."""
        if not self.near.connected():
            self.hang_up()
            eventually(lambda: self.near.connect() and self.near.connected())
            self._far, _ = self._listener.accept()
        return self.near.send(FETCH)

    def give(self, data: bytes, piece: int) -> None:
        """Let *data* arrive in pieces, each of which is read before the next is there."""
        assert self._far is not None
        for begin in range(0, len(data), piece):
            if self.near.disconnected():
                return
            self._far.sendall(data[begin : begin + piece])
            self.read()

    def read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.near._sock, selectors.EVENT_READ)
            selector.select(10)
            while self.near.connected() and selector.select(0):
                for response, future in self.near.recv():
                    future.success(response)

    def hang_up(self) -> None:
        if self._far is not None:
            self._far.close()


@pytest.fixture
def far() -> Iterator[Far]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Far(listener)
        yield made
        made.near.close()
        made.hang_up()


def answer(records: bytes, correlation_id: int = 1) -> bytes:
    response = FetchResponse[4](0, [("hero", [(0, 0, 10, 10, [], records)])])
    body = Int32.encode(correlation_id) + response.encode()
    return Int32.encode(len(body)) + body


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 7, 1460, 10_000])
@pytest.mark.parametrize("records", [LOOKS_LIKE_TLS, LOOKS_HUGE, b""], ids=["tls", "huge", "none"])
def test_first_answer_may_come_in_pieces(far: Far, piece: int, records: bytes) -> None:
    asked = far.ask()

    far.give(answer(records), piece)

    assert asked.succeeded(), far.refusals.reasons()
    assert asked.value.topics[0][1][0][-1] == records
    assert far.near.connected()


def test_first_answer_may_be_as_large_as_it_likes(far: Far) -> None:
    """Only its beginning: a bound would be a guess about the broker's settings."""
    far.ask()

    far.give(Int32.encode(120_000_000) + Int32.encode(1), 1)

    assert far.near.connected()


@pytest.mark.parametrize("piece", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("stranger", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Kafka: b'HTTP/1.1'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak Kafka"),
        (b"\xff\xff\xff\xfb\x01\xff\xfb\x03", "does not speak Kafka"),
        (bytes(64), "does not speak Kafka"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS at this port"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "speaks TLS at this port"),
    ],
    ids=["http", "ssh", "negative", "zeros", "tls 1.2", "tls 1.0"],
)
def test_stranger_is_known_by_its_first_bytes(
    far: Far, stranger: bytes, words: str, piece: int
) -> None:
    asked = far.ask()

    far.give(stranger, piece)

    assert asked.failed()
    assert words in far.refusals.reasons()


def test_stranger_that_hangs_up_at_once_is_known(far: Far) -> None:
    far.ask()
    assert far._far is not None

    far._far.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
    far.hang_up()
    far.read()

    assert "speaks TLS" in far.refusals.reasons()


def test_each_attempt_is_looked_at_anew(far: Far) -> None:
    asked = far.ask()
    far.give(answer(b""), 5)
    assert asked.succeeded()
    far.near.close()

    far.ask()
    far.give(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 5)
    assert "does not speak Kafka" in far.refusals.reasons()

    eventually(lambda: not far.near.blacked_out())
    asked = far.ask()
    far.give(answer(b""), 5)
    assert asked.succeeded()
    assert not far.refusals.reasons()


def test_all_first_answers_may_come_in_pieces(own: Parts, hero: str) -> None:
    """Those to questions about versions, topics, offsets and groups, to a send and to a fetch."""
    slowly = {
        "request_timeout_ms": 10_000,
        "native": {"sock_chunk_bytes": 1, "sock_chunk_buffer_count": 16},
    }
    payloads = [b"\x15\x03\x03\x00\x02" * 20, b"\xff" * 100]
    partition = TopicPartition(hero, 0)

    own.admin(client={"api_version": None, **slowly}).check_connection(10)
    own.joined("group", hero, client=slowly)
    produce(own.producer(client=slowly), hero, *payloads)
    reader = own.reader({partition: 0}, client=slowly)

    assert values(read(reader, 2)) == payloads
