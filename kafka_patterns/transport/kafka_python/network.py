"""The network client with a way out: a hung call can be broken off from another thread.

``poll``, ``commit``, ``position`` and ``close`` of kafka-python-ng loop without a bound while
a coordinator or leader is away. All of them pass through ``KafkaClient._poll``, so raising
there ends every one of them.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from kafka.client_async import KafkaClient
from kafka.future import Future as KafkaFuture

from kafka_patterns.transport.base import Interrupted

__all__ = ["InterruptibleClient", "await_future", "silence_cancelled_fetches"]


class InterruptibleClient(KafkaClient):  # type: ignore[misc]  # the base has no types
    """A network client whose loops end once :meth:`interrupt` was called."""

    def __init__(self, **configs: Any) -> None:
        self.interrupted = False
        super().__init__(**configs)

    def interrupt(self) -> None:
        """From any thread: every running and later wait for the network raises."""
        self.interrupted = True
        self.wakeup()

    def _poll(self, timeout: float) -> None:
        if self.interrupted:
            raise Interrupted
        # A connection may have closed since something was queued on it; its requests have
        # failed already, and the base would trip over the missing socket.
        self._sending = {connection for connection in self._sending if connection._sock}
        super()._poll(timeout)
        if self.interrupted:
            raise Interrupted


def await_future(client: KafkaClient, future: KafkaFuture, deadline: float) -> bool:
    """Drive *client* until *future* is done or the monotonic *deadline* passed."""
    while not future.is_done:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        client.poll(timeout_ms=min(remaining * 1000, 100))
    return True


class _CancelledFetch(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "Cancelled" not in record.getMessage()


_FILTER = _CancelledFetch()


def silence_cancelled_fetches() -> None:
    """Keep the base from logging every normal close of a reader as an error."""
    logger = logging.getLogger("kafka.consumer.fetcher")
    if _FILTER not in logger.filters:
        logger.addFilter(_FILTER)
