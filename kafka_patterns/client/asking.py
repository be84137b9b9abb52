"""Sending a request: its return address, its deadline, and its place among those that wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import attrs

from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.events import EventClient
from kafka_patterns.client.pending import Slot
from kafka_patterns.consuming.inherited import Patience, patience_for
from kafka_patterns.errors import ClientClosed, NotSubscribedToReply, RequestTimeout
from kafka_patterns.message import RecordMetadata, TopicPartition

__all__ = ["Request", "RequestClient"]

SlotT = TypeVar("SlotT", bound=Slot)


@attrs.frozen
class Request(Generic[SlotT]):
    """A request that was sent.

    :param slot: where its replies arrive.
    :param end: ends its waiting; ``False`` if that has ended already.
    """

    slot: SlotT
    end: Callable[[Outcome], bool]


class RequestClient(EventClient):
    """What all kinds of requests of a client share."""

    def _request(
        self,
        topic: str,
        data: Any,
        patience: Patience,
        make_slot: Callable[[TopicPartition], SlotT],
        idempotency_key: str | bytes | None,
    ) -> Request[SlotT]:
        replies = self.get_response_pattern_name(topic)
        if replies not in self._reply_topics:
            raise self._not_subscribed(topic, replies)
        message = self._writer.event(topic, data, idempotency_key)
        connection = self._connected()
        correlation_id = self._ids.new()
        ticket = self._counts.ticket(topic, time.monotonic())

        def enter(partition: TopicPartition) -> SlotT:
            slot = make_slot(partition)
            slot.ticket = ticket
            return slot

        def end(outcome: Outcome) -> bool:
            return self._pending.remove(correlation_id, outcome) is not None

        slot = connection.partitions.enlist(replies, correlation_id, enter)
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
        return Request(slot, end)

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

    def _default_timeout(self, timeout: float | None) -> float:
        return self.options.reply.timeout_ms / 1000 if timeout is None else timeout

    def _patience(self, topic: str, timeout: float | None) -> Patience:
        patience = patience_for(
            self._default_timeout(timeout), inherit=self.options.reply.inherit_deadline
        )
        if patience.seconds <= 0 and (timeout is None or timeout > 0):
            raise RequestTimeout(
                f"{topic!r} was not asked: the caller of the handler that runs here waits no "
                "longer, and the request would outlive its deadline"
            )
        return patience
