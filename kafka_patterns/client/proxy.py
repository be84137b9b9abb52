"""The client: requests that wait for their reply, and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all
from typing import Any, TypeVar, overload

from kafka_patterns.client.futures import EmitFuture
from kafka_patterns.client.life import ClientLife
from kafka_patterns.client.pending import FutureSlot, ReplySlot, Slot, StreamSlot
from kafka_patterns.client.reading import ReplyFuture, ReplyReader, ReplyStream
from kafka_patterns.client.requests import new_correlation_id
from kafka_patterns.consuming.drivers import SEND_GRACE_SECONDS, unacknowledged, wait_for_send
from kafka_patterns.errors import (
    ClientClosed,
    NotSubscribedToReply,
    RequestTimeout,
    SendFailed,
)
from kafka_patterns.message import RecordMetadata, TopicPartition

__all__ = ["ClientKafkaProxy"]

T = TypeVar("T")


class ClientKafkaProxy(ClientLife):
    """Sends requests and events; any number of threads may share one.

    It connects at the first use, or at :meth:`connect`, or as a context manager. Every request
    ends: with its reply, the remote error, :class:`~kafka_patterns.RequestTimeout`,
    :class:`~kafka_patterns.SendFailed` or :class:`~kafka_patterns.ClientClosed`.

    :param options: a mapping or :class:`~kafka_patterns.KafkaOptions`.
    :raises ConfigurationError: for options that cannot work.
    """

    # Requests

    @overload
    def send(self, pattern: Any, data: Any, *, timeout: float | None = None) -> Any: ...

    @overload
    def send(
        self, pattern: Any, data: Any, *, timeout: float | None = None, returns: type[T]
    ) -> T: ...

    def send(
        self, pattern: Any, data: Any, *, timeout: float | None = None, returns: Any = None
    ) -> Any:
        """Send a request and wait for its first reply.

        :param pattern: the topic; its replies must be subscribed to.
        :param data: the payload; ``None`` is a Kafka null, :class:`~kafka_patterns.Message`
            sets key and headers.
        :param timeout: seconds to wait; ``reply.timeout_ms`` if not given.
        :param returns: the type of the reply, structured strictly; the parsed value if not
            given.
        :raises RpcException: the remote error.
        :raises RequestTimeout: if no reply came in time.
        :raises SendFailed: if the broker did not take the request.
        :raises ClientClosed: if the client closes meanwhile.
        :raises NotSubscribedToReply: if ``subscribe_to_response_of`` is missing.
        :raises NoReplyPartition: if this instance holds no reply partition.
        :raises ReplyPayloadError: if the reply is not valid for *returns*.
        :raises PayloadError: if *data* cannot be written.
        """
        timeout = self._reply_timeout(timeout)
        topic = self._writer.topic(pattern)
        slot, forget = self._request(topic, data, timeout, ReplySlot)
        assert isinstance(slot, ReplySlot)
        try:
            slot.wait(timeout)
        finally:
            forget()
        if slot.error is not None:
            raise slot.error
        if slot.reply is None:
            raise self._timed_out(topic, timeout)
        return ReplyReader(self._serialization, topic, returns).read(slot.reply)

    def send_future(
        self, pattern: Any, data: Any, *, timeout: float | None = None, returns: Any = None
    ) -> Future[Any]:
        """Send a request; the future ends as :meth:`send` would. Cancelling frees its place.

        Takes and raises what :meth:`send` does, except that everything known only later is the
        future's exception.
        """
        timeout = self._reply_timeout(timeout)
        topic = self._writer.topic(pattern)
        reader = ReplyReader(self._serialization, topic, returns)
        future = ReplyFuture(reader, self._callbacks.submit)
        slot, forget = self._request(
            topic, data, timeout, lambda partition: FutureSlot(partition, future)
        )
        timer = self._timers.at(
            time.monotonic() + timeout, lambda: slot.fail(self._timed_out(topic, timeout))
        )

        def ended(_: Future[Any]) -> None:
            timer.cancel()
            forget()

        Future.add_done_callback(future, ended)
        return future

    def stream(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        returns: Any = None,
    ) -> ReplyStream:
        """Send a request and iterate over all its replies.

        :param timeout: seconds to wait for each reply; ``reply.timeout_ms`` if not given.
        :param total_timeout: seconds for all of them together; no bound if not given.
        :param returns: the type of each reply.

        The request is sent at once. The iterator raises what :meth:`send` raises; closing it
        early, also as a context manager, frees its place.
        """
        timeout = self._reply_timeout(timeout)
        topic = self._writer.topic(pattern)
        started = time.monotonic()
        slot, forget = self._request(
            topic, data, timeout if total_timeout is None else total_timeout, StreamSlot
        )
        assert isinstance(slot, StreamSlot)
        return ReplyStream(
            slot,
            ReplyReader(self._serialization, topic, returns),
            topic,
            forget,
            item_timeout=timeout,
            deadline=None if total_timeout is None else started + total_timeout,
        )

    def _request(
        self,
        topic: str,
        data: Any,
        timeout: float,
        make_slot: Callable[[TopicPartition], Slot],
    ) -> tuple[Slot, Callable[[], bool]]:
        """Send a request; returns where its replies arrive, and how to forget it."""
        replies = self.get_response_pattern_name(topic)
        if replies not in self._reply_topics:
            raise self._not_subscribed(topic, replies)
        message = self._writer.event(topic, data)
        connection = self._connected()
        correlation_id = new_correlation_id()
        slot = connection.partitions.enlist(replies, correlation_id, make_slot)

        def forget() -> bool:
            return self._pending.remove(correlation_id) is not None

        try:
            if self._connection is not connection:
                raise ClientClosed("the client was closed meanwhile")
            request = self._writer.request(message, correlation_id, slot.partition, timeout)
            sent = self._producer(connection).send(topic, request, timeout=timeout)
        except BaseException:
            forget()
            raise

        def send_ended(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is not None and forget():
                slot.fail(error)

        sent.add_done_callback(send_ended)
        return slot, forget

    def _not_subscribed(self, topic: str, replies: str) -> Exception:
        if self.options.producer_only_mode:
            return NotSubscribedToReply(
                f"send({topic!r}) needs a reply, but producer_only_mode is on: this client has no "
                "consumer. Use emit(), or turn producer_only_mode off"
            )
        return NotSubscribedToReply(
            f"the reply topic {replies!r} is not read: call "
            f"subscribe_to_response_of({topic!r}) before connect()"
        )

    def _reply_timeout(self, timeout: float | None) -> float:
        return self.options.reply.timeout_ms / 1000 if timeout is None else timeout

    def _timed_out(self, topic: str, timeout: float) -> RequestTimeout:
        return RequestTimeout(
            f"no reply to {topic!r} within {timeout:g} s: its server may be down, slow or not "
            "subscribed; the request may still be worked on"
        )

    # Events

    def emit(self, pattern: Any, data: Any, *, timeout: float | None = None) -> RecordMetadata:
        """Send an event; return once the broker has it, with the position it got.

        :param data: the payload; ``None`` is a Kafka null.
        :param timeout: seconds until the broker must have it; ``send.timeout_ms`` if not given.
        :raises SendFailed: if the broker did not take it.
        :raises PayloadError: if *data* cannot be written.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        message = self._writer.event(topic, data)
        connection = self._connected()
        sent = self._producer(connection).send(topic, message, timeout=timeout)
        return wait_for_send(sent, topic, timeout)

    def emit_future(
        self, pattern: Any, data: Any, *, timeout: float | None = None
    ) -> Future[RecordMetadata]:
        """Send an event; the future ends when the broker has it, or with ``SendFailed``.

        Takes and raises what :meth:`emit` does, except that everything known only later is the
        future's exception. Never waits for the network, once connected. Callbacks run on the
        callback thread.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        message = self._writer.event(topic, data)
        connection = self._connected()
        result = EmitFuture(self._callbacks.submit)
        timer = self._timers.at(
            time.monotonic() + timeout + SEND_GRACE_SECONDS,
            lambda: result.fail_with(unacknowledged(topic, timeout)),
        )
        Future.add_done_callback(result, lambda _: timer.cancel())
        sent = self._producer(connection).send(topic, message, timeout=timeout)
        sent.add_done_callback(result.follow)
        return result

    def emit_batch(
        self, pattern: Any, items: Iterable[Any], *, timeout: float | None = None
    ) -> list[RecordMetadata]:
        """Send many events; return once the broker has all, with the positions in their order.

        All items are serialized before the first is sent.

        :raises SendFailed: if any was not taken; ``results`` has one entry per item, its
            position or its error.
        """
        timeout = self._send_timeout(timeout)
        topic = self._writer.topic(pattern)
        messages = [self._writer.event(topic, item) for item in items]
        connection = self._connected()
        producer = self._producer(connection)
        futures = [producer.send(topic, message, timeout=timeout) for message in messages]
        wait_for_all(futures, timeout + SEND_GRACE_SECONDS)
        results = [_outcome(future, topic, timeout) for future in futures]
        failed = [result for result in results if isinstance(result, SendFailed)]
        if failed:
            raise SendFailed(
                f"{len(failed)} of {len(results)} messages for topic {topic!r} were not taken; "
                f"the first: {failed[0]}",
                outcome_unknown=any(error.outcome_unknown for error in failed),
                results=results,
            )
        return [result for result in results if isinstance(result, RecordMetadata)]


def _outcome(
    sent: Future[RecordMetadata], topic: str, timeout: float
) -> RecordMetadata | BaseException:
    if not sent.done():
        return unacknowledged(topic, timeout)
    return sent.exception() or sent.result()
