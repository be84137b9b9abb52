"""The base's producer, with what its ``send`` refuses or gets wrong mended.

It refuses a null value without a key and null header values, retries out of order, and drops
its module's logger when it is collected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaProducer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.future import Future as KafkaFuture

from kafka_patterns.message import EncodedMessage
from kafka_patterns.transport.kafka_python.known_topics import KnownTopics
from kafka_patterns.transport.kafka_python.linger import linger
from kafka_patterns.transport.kafka_python.metrics import switch_off_metrics

__all__ = ["BatchingProducer", "BufferFull"]

_BLOCK_MS = 100
_UNSENT_MS = 50
_RECORD_OVERHEAD = 100
_HEADER_OVERHEAD = 10
_BYTES_OF_A_CHARACTER = 4


class BufferFull(Exception):
    """No buffer is free; appending now would block."""


class _Headers(list):  # type: ignore[type-arg]  # pairs as the base takes them
    """Headers that count as empty where the base sums up their sizes, for it cannot add null."""

    def __bool__(self) -> bool:
        return False


class _RawName(str):
    """A header's name that was no UTF-8 when it was read: written as it was."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> bytes:
        return super().encode(encoding, errors)


class BatchingProducer(KafkaProducer):  # type: ignore[misc]  # the base has no types
    """``KafkaProducer`` with an ``append`` that takes every record Kafka takes."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        delivery_timeout: float,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(**config, max_block_ms=_BLOCK_MS)
        switch_off_metrics(self)
        self.topics = KnownTopics(self._sender)
        self._delivery_timeout = delivery_timeout
        self._may_send = may_send or (lambda: True)
        limits = ("batch_size", "max_request_size", "buffer_memory")
        self._fits_anyway = min(self.config[name] for name in limits)
        # A retried batch must not be overtaken: one batch in flight per partition, while
        # different partitions still share the connection.
        self._sender.config["guarantee_message_order"] = True
        self._sender._can_retry = self._can_retry
        self._senders: set[int] = set()  # threads; single operations on it are atomic
        self._run_once = self._sender.run_once
        self._sender.run_once = self._linger_and_run_once
        self._reenqueue = self._accumulator.reenqueue
        self._accumulator.reenqueue = self._mark_and_reenqueue
        self._untold: list[Callable[[], object]] | None = None  # the I/O thread's alone
        self._abort_expired = self._accumulator.abort_expired_batches
        self._accumulator.abort_expired_batches = self._abort_expired_and_tell

    def _linger_and_run_once(self) -> None:
        linger(self._senders)
        self._senders.clear()
        if self._may_send():
            self._run_once()
        else:
            self._sender._client.poll(timeout_ms=_UNSENT_MS)  # for the answers alone

    def _can_retry(self, batch: Any, error: Any) -> bool:
        return (
            getattr(error, "retriable", False)
            and batch.attempts < self.config["retries"]
            and time.time() - batch.created < self._delivery_timeout
        )

    def _mark_and_reenqueue(self, batch: Any) -> None:
        batch.produce_future.was_sent = True
        self._reenqueue(batch)

    def _abort_expired_and_tell(self, *arguments: Any) -> Any:
        self._untold = []
        try:
            return self._abort_expired(*arguments)
        finally:
            untold, self._untold = self._untold, None
            for tell in untold:
                tell()

    def tell(self, ended: Callable[[], object]) -> None:
        """Call *ended*, from a callback of the base; once the base holds no lock.

        It ends expired messages under the lock that sending another one takes.
        """
        if self._untold is None or threading.current_thread() is not self._sender:
            ended()
        else:
            self._untold.append(ended)

    def batch_of(self, future: Any) -> Any:
        """What :meth:`was_sent` asks for, of a message that has not been let go."""
        return future._produce_future

    def was_sent(self, batch: Any) -> bool:
        """Whether *batch* had been in a request before its last failure."""
        return getattr(batch, "was_sent", False)

    def let_go(self, future: Any) -> None:
        """Forget who waits for *future*, which has ended.

        The base leaves it in a circle with its batch: each message would stay in memory, with
        all that waited for it, until the next garbage collection, and bring that nearer.
        """
        future._produce_future = None
        future._callbacks.clear()
        future._errbacks.clear()

    def append(self, topic: str, partition: int, message: EncodedMessage) -> KafkaFuture:
        """Buffer one record.

        :raises BufferFull: if no buffer is free.
        :raises kafka.errors.KafkaError: if the record is larger than ``max_request_size``.
        """
        headers = _Headers(
            (name if name.isascii() else _RawName(name), value) for name, value in message.headers
        )
        size = _largest_size(message)
        if size > self._fits_anyway:
            size = self._estimate_size_in_bytes(message.key, message.value, headers)
            self._ensure_valid_record_size(size)
        if not self._accumulator._free._free:
            raise BufferFull
        try:
            future, batch_is_full, new_batch = self._accumulator.append(
                KafkaTopicPartition(topic, partition),
                message.timestamp,
                message.key,
                message.value,
                headers,
                _BLOCK_MS,
                estimated_size=size,
            )
        except KafkaTimeoutError as error:
            raise BufferFull from error
        self._senders.add(threading.get_ident())
        if batch_is_full or new_batch:
            self._sender.wakeup()
        return future

    def join(self, timeout: float) -> None:
        """Wait for the I/O thread, which a forced close leaves to end by itself."""
        self._sender.join(timeout)

    def __del__(self) -> None:
        """Leave the module's logger alone; whoever made the producer closes it."""


def _largest_size(message: EncodedMessage) -> int:
    """What the record takes at most; adding that up exactly takes the base as long as writing."""
    size = _RECORD_OVERHEAD + len(message.key or b"") + len(message.value or b"")
    for name, value in message.headers:
        size += _HEADER_OVERHEAD + len(name) * _BYTES_OF_A_CHARACTER + len(value or b"")
    return size
