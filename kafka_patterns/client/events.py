"""Events: sent one by one, as futures, or many at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from typing import Any

from kafka_patterns.client.futures import EmitFuture
from kafka_patterns.client.life import ClientLife
from kafka_patterns.consuming.drivers import SEND_GRACE_SECONDS, unacknowledged, wait_for_send
from kafka_patterns.errors import ConfigurationError, SendFailed
from kafka_patterns.message import RecordMetadata
from kafka_patterns.transport.base import Producer

__all__ = ["EventClient"]


class EventClient(ClientLife):
    """What a client does with events."""

    def emit(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        idempotency_key: str | bytes | None = None,
    ) -> RecordMetadata:
        """Send an event; return once the broker has it, with the position it got.

        :param data: the payload; ``None`` is a Kafka null.
        :param timeout: seconds until the broker must have it; ``send.timeout_ms`` if not given.
        :param idempotency_key: names this event, the same whenever it is sent again; handlers
            find it as ``context.idempotency_key``.
        :raises SendFailed: if the broker did not take it.
        :raises PayloadError: if *data* cannot be written.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        message = self._writer.event(topic, data, idempotency_key)
        connection = self._connected()
        producer = self._producer(connection)
        sent = producer.send(topic, message, timeout=timeout)
        return wait_for_send(producer, sent, topic, timeout)

    def emit_future(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        idempotency_key: str | bytes | None = None,
    ) -> Future[RecordMetadata]:
        """Send an event; the future ends when the broker has it, or with ``SendFailed``.

        Takes and raises what :meth:`emit` does, except that everything known only later is the
        future's exception. Never waits for the network, once connected. Callbacks run on the
        callback thread.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        message = self._writer.event(topic, data, idempotency_key)
        connection = self._connected()
        producer = self._producer(connection)
        result = EmitFuture(self._callbacks.submit)
        timer = self._timers.at(
            time.monotonic() + timeout + SEND_GRACE_SECONDS,
            lambda: result.fail_with(unacknowledged(producer, topic, timeout)),
        )
        Future.add_done_callback(result, lambda _: timer.cancel())
        sent = producer.send(topic, message, timeout=timeout)
        sent.add_done_callback(result.follow)
        return result

    def emit_batch(
        self,
        pattern: Any,
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        idempotency_keys: Iterable[str | bytes | None] | None = None,
    ) -> list[RecordMetadata]:
        """Send many events; return once the broker has all, with the positions in their order.

        All items are serialized before the first is sent.

        :param timeout: seconds until the broker must have all; ``send.timeout_ms`` if not given.
        :param idempotency_keys: one for each item, in their order; ``None`` for none.
        :raises SendFailed: if any was not taken; ``results`` has one entry per item, its
            position or its error.
        :raises PayloadError: if one cannot be written; then none is sent.
        :raises ConfigurationError: if there are not as many keys as items.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        messages = [
            self._writer.event(topic, item, key)
            for item, key in _with_keys(items, idempotency_keys)
        ]
        connection = self._connected()
        producer = self._producer(connection)
        futures = [producer.send(topic, message, timeout=timeout) for message in messages]
        wait_for_all(futures, timeout + SEND_GRACE_SECONDS)
        results = [_outcome(producer, future, topic, timeout) for future in futures]
        failed = [result for result in results if isinstance(result, SendFailed)]
        if failed:
            raise SendFailed(
                f"{len(failed)} of {len(results)} messages for topic {topic!r} were not taken; "
                f"the first: {failed[0]}",
                outcome_unknown=any(error.outcome_unknown for error in failed),
                forbidden=all(error.forbidden for error in failed),
                results=results,
            )
        return [result for result in results if isinstance(result, RecordMetadata)]


def _outcome(
    producer: Producer, sent: Future[RecordMetadata], topic: str, timeout: float
) -> RecordMetadata | BaseException:
    if not sent.done():
        return unacknowledged(producer, topic, timeout)
    return sent.exception() or sent.result()


def _with_keys(
    items: Iterable[Any], keys: Iterable[str | bytes | None] | None
) -> list[tuple[Any, str | bytes | None]]:
    listed = list(items)
    if keys is None:
        return [(item, None) for item in listed]
    listed_keys = [keys] if isinstance(keys, (str, bytes)) else list(keys)
    if len(listed_keys) != len(listed):
        raise ConfigurationError(
            f"emit_batch() got {len(listed)} items and {len(listed_keys)} idempotency_keys: give "
            "one for each item, in their order"
        )
    return list(zip(listed, listed_keys, strict=True))
