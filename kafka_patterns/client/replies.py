"""From fetched records to waiting requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kafka_patterns import headers
from kafka_patterns.client.correlation_ids import CorrelationIds, Origin
from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.pending import PendingRequests
from kafka_patterns.client.reply import Reply
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.message import Record, TopicPartition, Unreadable
from kafka_patterns.serialization.error_header import decode_error
from kafka_patterns.transport.base import Room

__all__ = ["ReplyRouter", "read_reply"]

logger = logging.getLogger("kafka_patterns.replies")

_ALL = Room(1_000_000_000, 1_000_000_000)
_SEQUENCE_DIGITS = 15


def read_reply(record: Record) -> Reply:
    """What the headers of a reply say, by NestJS's rules.

    Presence counts, not the value: an error header ends the request; if it is empty or null,
    without an error and without a value.
    """
    sequence = _read_sequence(record.header(headers.SEQUENCE))
    if record.has_header(headers.ERROR):
        error = decode_error(record.header(headers.ERROR))
        record = record._replace(value=None)
        if error is None or error == "":  # in JavaScript an empty object is an error
            return Reply(record, last=True, empty=True, sequence=sequence)
        return Reply(record, error=error, last=True, sequence=sequence)
    return Reply(record, last=record.has_header(headers.IS_DISPOSED), sequence=sequence)


def _read_sequence(raw: bytes | None) -> int | None:
    """The number of an item; ``None`` if there is none that makes sense."""
    if raw is None or not raw.isdigit() or len(raw) > _SEQUENCE_DIGITS:
        return None
    return int(raw)


class ReplyRouter:
    """The fetcher's sink on the client's side: every record to its own request, or counted.

    Replies to requests that ended or were never ours are dropped: several instances may read
    one partition, and a reply may come late or twice. So are items of a stream that are repeated.

    :param ids: tells of whose request an id is.
    :param counters: of all that is read.
    :param strayed: told the topic of a reply that no request waits for, and whose it is.
    """

    def __init__(
        self,
        pending: PendingRequests,
        ids: CorrelationIds,
        counters: Counters,
        strayed: Callable[[str, Origin], object],
    ) -> None:
        self._pending = pending
        self._ids = ids
        self.counters = counters
        self._strayed = strayed

    def room(self, partition: TopicPartition, token: Any) -> Room:
        """Replies are never held back."""
        return _ALL

    def passed(self, partition: TopicPartition, token: Any, offset: int) -> None:
        """Nothing waits for an offset."""

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        """Replies are known by their correlation ids, not by their offsets."""
        return token

    def reappeared(self, partition: TopicPartition, token: Any) -> None:
        """The fetcher reads again what may be another log: replies are known by their ids."""

    def deliver(self, partition: TopicPartition, token: Any, records: list[Record]) -> None:
        """Route *records*."""
        for record in records:
            try:
                if record.unreadable is None:
                    self._route(record)
                else:
                    self._skip(record, record.unreadable)
            except Exception:
                self.counters.add("replies_unreadable")
                logger.warning(
                    "a reply at %s offset %d could not be read", partition, record.offset,
                    exc_info=True,
                )  # fmt: skip

    def _skip(self, record: Record, about: Unreadable) -> None:
        """Count what cannot be read; a request that it can be seen to answer fails with it."""
        self.counters.add("replies_unreadable")
        logger.warning("%s[%d] offset %d cannot be read: %s", *record[:3], about.reason)
        correlation_id = record.header(headers.CORRELATION_ID)
        if correlation_id is not None and self._pending.get(correlation_id) is not None:
            self._route(record)

    def _route(self, record: Record) -> None:
        correlation_id = record.header(headers.CORRELATION_ID)
        slot = None if correlation_id is None else self._pending.get(correlation_id)
        if correlation_id is None or slot is None:
            self._strayed(record.topic, self._ids.origin(correlation_id))
            return
        if slot.ticket is not None:
            slot.ticket.reply_came(time.monotonic())
        reply = read_reply(record)
        ended = slot.deliver(reply)
        if ended:
            failed = reply.error is not None or getattr(slot, "error", None) is not None
            self._pending.remove(correlation_id, Outcome.FAILED if failed else Outcome.REPLIED)
        self.counters.add("replies_delivered" if ended is not None else "replies_repeated")
