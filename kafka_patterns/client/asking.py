"""Sending a request: its return address, its deadline, and its place among those that wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

import attrs

from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.events import EventClient
from kafka_patterns.client.life import bounded
from kafka_patterns.client.pending import Slot
from kafka_patterns.consuming.inherited import Patience, patience_for
from kafka_patterns.errors import (
    ClientClosed,
    ConfigurationError,
    NotSubscribedToReply,
    RequestTimeout,
    TooManyPendingRequests,
)
from kafka_patterns.message import RecordMetadata, TopicPartition

__all__ = ["Request", "RequestClient"]

SlotT = TypeVar("SlotT", bound=Slot)

_TOPICS_SECONDS = 10.0


@attrs.frozen
class Request(Generic[SlotT]):
    """A request that was sent.

    :param slot: where its replies arrive.
    :param end: ends its waiting; ``False`` if that has ended already.
    :param patience: how long it is waited for, from when it was sent.
    """

    slot: SlotT
    end: Callable[[Outcome], bool]
    patience: Patience


class RequestClient(EventClient):
    """What all kinds of requests of a client share."""

    def subscribe_to_response_of(self, pattern: Any) -> None:
        """Read the replies to *pattern*, best before :meth:`connect`.

        On a connected client it waits until they are read. In a group, all members join again
        for it; requests go on meanwhile. What the group's leader does not give this instance
        shows as :class:`~kafka_patterns.NoReplyPartition` when it is asked for: a NestJS leader
        gives only topics that it subscribes to itself.

        :raises ConfigurationError: if the client only produces, or the pattern makes no legal
            topic name.
        :raises ReplyTopicError: when connected in ``direct`` mode: there is no such topic.
        :raises TransportError: when connected, if the group does not settle in time.
        :raises ClientClosed: if the client closes meanwhile.
        """
        topic = self._writer.topic(pattern)
        replies = self._writer.topic(self.get_response_pattern_name(topic))
        if self.options.producer_only_mode:
            raise ConfigurationError(
                f"producer_only_mode is on, so replies to {topic!r} cannot be read: turn it off "
                "for requests"
            )
        with self._lifecycle:
            connection = self._connection
            if connection is None:
                self._reply_topics[replies] = topic
        if connection is not None and replies not in self._reply_topics:
            connection.subscribe([replies])
            self._reply_topics[replies] = topic

    def ensure_reply_topics(
        self,
        *,
        partitions: int,
        replication_factor: int | None = None,
        timeout: float = _TOPICS_SECONDS,
    ) -> None:
        """Let all reply topics of this client exist with enough partitions.

        Before or after :meth:`connect`, and after :meth:`subscribe_to_response_of`.
        Topics that do not exist are created, partitions that are missing are added; nothing is
        ever taken away. In a group, give each at least as many as there are instances. Members
        in other processes hear of new partitions within ``consumer.metadata_max_age_ms``.

        :param partitions: how many each has to have at least.
        :param replication_factor: of topics that are created; the brokers' default if not given.
        :param timeout: seconds it may take, once a broker is reached.
        :raises ReplyTopicError: if one still is unfit, because this user may not change it or the
            broker cannot; it says the command to run.
        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        """
        if partitions < 1:
            raise ConfigurationError(f"ensure_reply_topics(partitions={partitions}): from 1 on")
        topics = set(self._reply_topics)
        wanted = (topics, partitions, replication_factor, timeout)
        connection = self._connection
        if connection is not None:
            connection.ensure_topics(*wanted)
            return
        connection = self._make_connection()
        try:
            connection.check()
            connection.ensure_topics(*wanted)
        finally:
            connection.close(1.0)

    def _request(
        self,
        topic: str,
        data: Any,
        timeout: float,
        make_slot: Callable[[TopicPartition], SlotT],
        idempotency_key: str | bytes | None,
        *,
        may_wait: bool = True,
    ) -> Request[SlotT]:
        replies = self._subscribed_reply_topic(topic)
        message = self._writer.event(topic, data, idempotency_key)
        connection = self._connected()
        patience = self._patience(topic, timeout)
        correlation_id = self._ids.new()

        def enter(partition: TopicPartition) -> SlotT:
            slot = make_slot(partition)
            slot.ticket = self._counts.ticket(topic, time.monotonic())
            return slot

        def end(outcome: Outcome) -> bool:
            return self._pending.remove(correlation_id, outcome) is not None

        enlist = partial(connection.partitions.enlist, replies, correlation_id, enter)
        try:
            slot = enlist()
        except TooManyPendingRequests:
            if not may_wait or not self.options.reply.max_pending_wait_ms:
                raise
            slot, patience = self._enlist_in_turn(enlist, correlation_id, patience)
        try:
            if self._connection is not connection:
                raise ClientClosed("the client was closed meanwhile")
            request = self._writer.request(
                message, correlation_id, slot.partition, patience.deadline
            )
            sent = self._producer(connection).send(topic, request, timeout=patience.seconds)
        except BaseException:
            end(Outcome.FAILED)
            raise

        def send_ended(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is not None and end(Outcome.FAILED):
                slot.fail(error)

        sent.add_done_callback(send_ended)
        return Request(slot, end, patience)

    def _subscribed_reply_topic(self, topic: str) -> str:
        replies = self.get_response_pattern_name(topic)
        if replies not in self._reply_topics:
            if self.options.producer_only_mode or self.options.reply.mode != "direct":
                raise self._not_subscribed(topic, replies)
            self._connected()  # first: a topic that is unfit must not keep all others away
            self.subscribe_to_response_of(topic)
        return replies

    def _enlist_in_turn(
        self, enlist: Callable[[], SlotT], correlation_id: bytes, patience: Patience
    ) -> tuple[SlotT, Patience]:
        """Wait for a place and *enlist*; with it, what is left of *patience*."""
        began = time.monotonic()
        allowed = self.options.reply.max_pending_wait_ms / 1000
        with self._pending.place_for(correlation_id, min(allowed, patience.seconds)):
            slot = enlist()
        return slot, patience.after(time.monotonic() - began)

    def _not_subscribed(self, topic: str, replies: str) -> Exception:
        if self.options.producer_only_mode:
            return NotSubscribedToReply(
                f"send({topic!r}) needs a reply, but producer_only_mode is on: this client has no "
                "consumer. Use emit(), or turn producer_only_mode off"
            )
        return NotSubscribedToReply(
            f"the reply topic {replies!r} is not read: call "
            f"subscribe_to_response_of({topic!r}) first"
        )

    def _default_timeout(self, timeout: float | None) -> float:
        return self.options.reply.timeout_ms / 1000 if timeout is None else bounded(timeout)

    def _patience(self, topic: str, timeout: float) -> Patience:
        patience = patience_for(timeout, inherit=self.options.reply.inherit_deadline)
        if patience.seconds <= 0 < timeout:
            raise RequestTimeout(
                f"{topic!r} was not asked: the caller of the handler that runs here waits no "
                "longer, and the request would outlive its deadline"
            )
        return patience
