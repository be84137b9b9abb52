"""Producing exactly once, with another client library than the one under test."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from tests.reliability.journal import Position

__all__ = ["Load"]

_FLUSH_SECONDS = 120.0
_TICK_SECONDS = 0.02
_QUEUE = 100_000


class Load:
    """Writes numbered records to one topic; each key has its own sequence from 0.

    The producer is idempotent, so that an outage makes no duplicates of its own.

    :param keys: how many different ones, in turn.
    :param settings: of the producer, over those made here.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        *,
        keys: int = 100,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.topic = topic
        self.produced: dict[Position, str] = {}
        self._keys = keys
        self._numbers = itertools.count()
        self._failures: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": ",".join(brokers),
                "enable.idempotence": True,
                "message.timeout.ms": int(_FLUSH_SECONDS * 1000),
                "message.max.bytes": 12_000_000,
                "queue.buffering.max.messages": _QUEUE,
                "linger.ms": 5,
                "log_level": 2,
                **(settings or {}),
            }
        )
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def produce(self, count: int, *, key: str | None = None, **payload: Any) -> None:
        """Write *count* records and wait until the broker has them.

        :param key: instead of those in turn; give each other record of it a sequence yourself.
        :param payload: more fields of each record.
        """
        for _ in range(count):
            self._write(key, payload)
        self.flush()

    def request(self, headers: Sequence[tuple[str, bytes | None]], **payload: Any) -> None:
        """Write one record with *headers*; it waits for the broker until :meth:`flush`."""
        self._write(None, payload, headers)

    def produce_raw(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
    ) -> None:
        """Write a record that nobody need handle: it does not count as produced."""
        self._producer.produce(
            self.topic, value=value, key=key, headers=list(headers), partition=partition
        )
        self._producer.poll(0)

    def start(self, rate: int) -> None:
        """Write about *rate* records a second until :meth:`stop`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(rate,), name="load")
        self._thread.start()

    def stop(self) -> None:
        """Write no more, and wait until the broker has everything."""
        self._end_thread()
        self.flush()

    def close(self) -> None:
        """End the thread, whatever was written."""
        self._end_thread()

    def flush(self) -> None:
        """Wait until the broker has everything."""
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._failures:
            raise AssertionError(f"{left} records were not written; {self._failures[:3]}")

    def _run(self, rate: int) -> None:
        per_tick = max(1, round(rate * _TICK_SECONDS))
        while not self._stopping.wait(per_tick / rate):
            for _ in range(per_tick):
                self._write(None, {})

    def _end_thread(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(
        self,
        key: str | None,
        payload: dict[str, Any],
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        sequence, number = divmod(next(self._numbers), self._keys)
        name = key or f"key-{number}"
        value = json.dumps({"sequence": sequence, **payload}).encode()
        while True:
            try:
                self._producer.produce(
                    self.topic,
                    value=value,
                    key=name.encode(),
                    headers=list(headers),
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(str(error))
            return
        partition, offset, key = message.partition(), message.offset(), message.key()
        assert partition is not None
        assert offset is not None
        assert isinstance(key, bytes)
        self.produced[Position(self.topic, partition, offset)] = key.decode()
