"""The client: requests that wait for their reply, and events."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from kafka_patterns.client.asking import RequestClient
from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.gathering import Gathered, GatheredReply, gather_replies
from kafka_patterns.client.pending import FutureSlot, GatherSlot, ReplySlot, StreamSlot
from kafka_patterns.client.reading import ReplyFuture, ReplyReader, ReplyStream, outcome_of
from kafka_patterns.errors import ConfigurationError, RequestTimeout
from kafka_patterns.message import TopicPartition
from kafka_patterns.synchronous import refuse_async

__all__ = ["ClientKafkaProxy"]

T = TypeVar("T")


class ClientKafkaProxy(RequestClient):
    """Sends requests and events; any number of threads may share one.

    It connects at the first use, or at :meth:`connect`, or as a context manager. Every request
    ends: with its reply, the remote error, :class:`~kafka_patterns.RequestTimeout`,
    :class:`~kafka_patterns.SendFailed` or :class:`~kafka_patterns.ClientClosed`.

    A request that a handler of a server sends waits no longer than the handler's own caller
    does: for the lesser of its timeout and what remains of ``context.deadline``, plus one second
    for clocks that differ. If nothing remains it ends with ``RequestTimeout`` at once, unsent.
    This holds in the handler's thread; ``reply.inherit_deadline`` turns it off.

    :param options: a mapping or :class:`~kafka_patterns.KafkaOptions`.
    :raises ConfigurationError: for options that cannot work.
    """

    @overload
    def send(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        idempotency_key: str | bytes | None = None,
    ) -> Any: ...

    @overload
    def send(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        returns: type[T],
        idempotency_key: str | bytes | None = None,
    ) -> T: ...

    def send(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        returns: Any = None,
        idempotency_key: str | bytes | None = None,
    ) -> Any:
        """Send a request and wait for its first reply.

        :param pattern: the topic. Its replies must be subscribed to, which in ``direct`` mode
            the first request does by itself.
        :param data: the payload; ``None`` is a Kafka null, :class:`~kafka_patterns.Message`
            sets key and headers.
        :param timeout: seconds to wait; ``reply.timeout_ms`` if not given.
        :param returns: the type of the reply, structured strictly; the parsed value if not
            given.
        :param idempotency_key: names this request, the same whenever it is sent again; handlers
            find it as ``context.idempotency_key``.
        :raises RpcException: the remote error.
        :raises RequestTimeout: if no reply came in time.
        :raises SendFailed: if the broker did not take the request.
        :raises ClientClosed: if the client closes meanwhile.
        :raises NotSubscribedToReply: if ``subscribe_to_response_of`` is missing.
        :raises NoReplyPartition: if this instance holds no reply partition.
        :raises TooManyPendingRequests: if ``reply.max_pending`` requests wait, and none of them
            ended within ``reply.max_pending_wait_ms`` or *timeout*; it was not sent.
        :raises ReplyPayloadError: if the reply is not valid for *returns*.
        :raises PayloadError: if *data* cannot be written.
        :raises ConfigurationError: if nothing can be read as *returns*; nothing was sent.
        """
        topic = self._writer.topic(pattern)
        timeout = self._default_timeout(timeout)
        reader = ReplyReader(self._serialization, topic, returns)
        request = self._request(topic, data, timeout, ReplySlot, idempotency_key)
        slot, seconds = request.slot, request.patience.seconds
        try:
            slot.event.wait(seconds)
        finally:
            request.end(Outcome.TIMED_OUT)
        if slot.error is not None:
            raise slot.error
        if slot.reply is None:
            raise _timed_out(topic, seconds)
        return reader.read(slot.reply)

    def send_future(
        self,
        pattern: Any,
        data: Any,
        *,
        timeout: float | None = None,
        returns: Any = None,
        idempotency_key: str | bytes | None = None,
    ) -> Future[Any]:
        """Send a request; the future ends as :meth:`send` would. Cancelling frees its place.

        Takes and raises what :meth:`send` does, except that everything known only later is the
        future's exception. Never waits for the network, once connected and subscribed to the
        replies, nor for a place among ``reply.max_pending``. Callbacks run on the callback
        thread.
        """
        topic = self._writer.topic(pattern)
        timeout = self._default_timeout(timeout)
        reader = ReplyReader(self._serialization, topic, returns)
        future = ReplyFuture(reader, self._callbacks.submit)
        request = self._request(
            topic, data, timeout, lambda to: FutureSlot(to, future), idempotency_key, may_wait=False
        )
        seconds, end = request.patience.seconds, request.end

        def time_out() -> None:
            if end(Outcome.TIMED_OUT):
                request.slot.fail(_timed_out(topic, seconds))

        timer = self._timers.at(time.monotonic() + seconds, time_out)

        def ended(done: Future[Any]) -> None:
            timer.cancel()  # not through the request, which has the future: a circle
            end(outcome_of(done))

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
        idempotency_key: str | bytes | None = None,
    ) -> ReplyStream:
        """Send a request and iterate over all its replies.

        :param timeout: seconds to wait for each reply; ``reply.timeout_ms`` if not given.
        :param total_timeout: seconds for all of them together; no bound if not given.
        :param returns: the type of each reply.
        :param idempotency_key: as with :meth:`send`.

        The request is sent at once. The iterator raises what :meth:`send` raises; closing it
        early, also as a context manager, frees its place. Replies that are not asked for yet are
        kept, ``reply.max_unread`` of them; at one more the stream ends, behind those, with
        :class:`~kafka_patterns.TooManyUnreadReplies`.
        """
        topic = self._writer.topic(pattern)
        timeout = self._default_timeout(timeout)
        total = timeout if total_timeout is None else total_timeout
        reader = ReplyReader(self._serialization, topic, returns)
        request = self._request(topic, data, total, self._stream_slot, idempotency_key)
        bounded = total_timeout is not None or request.patience.inherited
        return ReplyStream(
            request.slot,
            reader,
            topic,
            request.end,
            item_timeout=timeout,
            deadline=time.monotonic() + request.patience.seconds if bounded else None,
        )

    def gather(
        self,
        pattern: Any,
        data: Any,
        *,
        expected: int | None = None,
        until: Callable[[list[GatheredReply]], object] | None = None,
        timeout: float | None = None,
        returns: Any = None,
        idempotency_key: str | bytes | None = None,
    ) -> Gathered:
        """Send one request to several services and collect what each replies.

        Each consumer group that reads the topic gets the request and should answer once. Who
        answered cannot be told, but by what the reply says.

        :param expected: so many replies are asked for; errors count.
        :param until: called with all replies so far after each one, in this thread; something
            true ends the waiting. Give this or *expected*.
        :param timeout: seconds for all together; ``reply.timeout_ms`` if not given.
        :param returns: the type of each reply.
        :param idempotency_key: as with :meth:`send`.
        :returns: the replies and errors of those that answered; all of them, or what came until
            the time was over.
        :raises TooManyUnreadReplies: if *until* takes longer than the replies do.

        Beside that it raises what :meth:`send` does, but for ``RequestTimeout``, and for the
        errors of single replies.
        """
        if (expected is None) == (until is None) or (expected is not None and expected < 1):
            raise ConfigurationError(
                "gather() needs either expected=, a number of replies from 1 on, or until=, a "
                "function of the replies so far"
            )
        if until is not None:
            refuse_async(until, "until")
        topic = self._writer.topic(pattern)
        timeout = self._default_timeout(timeout)
        reader = ReplyReader(self._serialization, topic, returns)
        request = self._request(topic, data, timeout, self._gather_slot, idempotency_key)
        ends = time.monotonic() + request.patience.seconds
        outcome = Outcome.FAILED
        try:
            gathered = gather_replies(
                request.slot, reader, ends, until or (lambda replies: len(replies) == expected)
            )
            outcome = Outcome.REPLIED if gathered.complete else Outcome.TIMED_OUT
        finally:
            request.end(outcome)
        return gathered

    def _stream_slot(self, partition: TopicPartition) -> StreamSlot:
        return StreamSlot(partition, self.options.reply.max_unread)

    def _gather_slot(self, partition: TopicPartition) -> GatherSlot:
        return GatherSlot(partition, self.options.reply.max_unread)


def _timed_out(topic: str, timeout: float) -> RequestTimeout:
    return RequestTimeout(
        f"no reply to {topic!r} within {timeout:g} s: its server may be down, slow or not "
        "subscribed; the request may still be worked on"
    )
