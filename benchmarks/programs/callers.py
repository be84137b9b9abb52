"""Clients under measurement, each in a process of its own: many callers that ask and wait."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from kafka_patterns import ClientKafkaProxy

__all__ = ["Caller", "HandWritten", "Library", "connect", "disconnect", "measure"]

_TIMEOUT = 20.0


class Caller(Protocol):
    """A connected client."""

    def ask(self, data: dict[str, Any]) -> Any:
        """Send a request and wait for its reply."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Library:
    """``ClientKafkaProxy.send``."""

    def __init__(self, options: dict[str, Any], pattern: str) -> None:
        self._pattern = pattern
        self._client = ClientKafkaProxy(options)
        self._client.subscribe_to_response_of(pattern)
        self._client.connect()

    def ask(self, data: dict[str, Any]) -> Any:
        return self._client.send(self._pattern, data, timeout=_TIMEOUT)

    def close(self) -> None:
        self._client.close()


class HandWritten:
    """What one writes without a library: a producer, a thread that consumes, an event each."""

    def __init__(self, options: dict[str, Any], pattern: str) -> None:
        brokers, partition = options["client"]["brokers"], options["reply"]["partition"]
        self._pattern = pattern
        self._return_address = [
            ("kafka_replyTopic", f"{pattern}.reply".encode()),
            ("kafka_replyPartition", str(partition).encode()),
        ]
        self._waiting: dict[bytes, tuple[threading.Event, list[Any]]] = {}
        self._producer = KafkaProducer(bootstrap_servers=brokers, acks="all")
        self._consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=None)
        place = TopicPartition(f"{pattern}.reply", partition)
        self._consumer.assign([place])
        self._consumer.seek_to_end(place)
        self._consumer.position(place)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="replies")
        self._thread.start()

    def ask(self, data: dict[str, Any]) -> Any:
        correlation_id = secrets.token_hex(16).encode()
        answered, replies = self._waiting[correlation_id] = (threading.Event(), [])
        headers = [("kafka_correlationId", correlation_id), *self._return_address]
        try:
            self._producer.send(self._pattern, json.dumps(data).encode(), headers=headers)
            if not answered.wait(_TIMEOUT):
                raise TimeoutError(f"no reply within {_TIMEOUT:g} s")
        finally:
            del self._waiting[correlation_id]
        return replies[0]

    def _read(self) -> None:
        while not self._stopping.is_set():
            for records in self._consumer.poll(timeout_ms=500).values():
                for record in records:
                    correlation_id = dict(record.headers).get("kafka_correlationId", b"")
                    waiting = self._waiting.get(correlation_id)
                    if waiting is not None:
                        waiting[1].append(json.loads(record.value))
                        waiting[0].set()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        self._producer.close()


_connected: list[Caller] = []


def connect(
    make: Callable[[dict[str, Any], str], Caller], options: dict[str, Any], pattern: str
) -> None:
    """Connect the client of this process.

    :param options: those of the library; of these the one written by hand takes what it knows.
    """
    _connected.append(make(options, pattern))


def measure(callers: int, seconds: float) -> list[float]:
    """Let *callers* threads ask for so long; the seconds that each request took."""
    (client,) = _connected
    stop = time.perf_counter() + seconds

    def call(caller: int) -> list[float]:
        took = []
        for number in range(1_000_000_000):
            began = time.perf_counter()
            if began >= stop:
                break
            data = {"caller": caller, "number": number}
            reply = client.ask(data)
            assert reply == data, f"{data} was answered {reply}"
            took.append(time.perf_counter() - began)
        return took

    with ThreadPoolExecutor(callers) as pool:
        return [took for each in pool.map(call, range(callers)) for took in each]


def disconnect() -> None:
    """Close the client of this process."""
    while _connected:
        _connected.pop().close()
