"""Requests that wait for their replies: correlation id to slot. Starts no thread."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager
from typing import Any

from kafka_patterns.client.counts import Outcome, Ticket
from kafka_patterns.client.places import Places
from kafka_patterns.client.reply import Reply, StreamOrder
from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.errors import ClientClosed, TooManyPendingRequests, TooManyUnreadReplies
from kafka_patterns.message import TopicPartition

__all__ = [
    "FutureSlot",
    "GatherSlot",
    "PendingRequests",
    "ReplySlot",
    "Slot",
    "StreamSlot",
]


class Slot(ABC):
    """Where one request waits.

    :param partition: that its replies come by.
    """

    ticket: Ticket | None = None
    outcome: Outcome | None = None
    """How it ended, if it did: set before its caller hears of it, who may then be the quicker."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition

    @abstractmethod
    def deliver(self, reply: Reply) -> bool | None:
        """Take a reply, in the fetcher's thread; ``True`` if the request has ended.

        ``None`` if the reply came before and is dropped.
        """

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """End with *error*, unless it has ended."""


def _outcome_of(reply: Reply) -> Outcome:
    return Outcome.REPLIED if reply.error is None else Outcome.FAILED


class ReplySlot(Slot):
    """A caller blocked in ``send``: an event, set by the first reply or an error."""

    def __init__(self, partition: TopicPartition) -> None:
        super().__init__(partition)
        self.event = threading.Event()
        self.reply: Reply | None = None
        self.error: BaseException | None = None

    def deliver(self, reply: Reply) -> bool:
        self.reply = reply
        self.outcome = _outcome_of(reply)
        self.event.set()
        return True

    def fail(self, error: BaseException) -> None:
        if self.reply is None:
            self.error = error
            self.outcome = Outcome.FAILED
        self.event.set()


class FutureSlot(Slot):
    """A future of ``send_future``; it ends with the first reply, still undecoded."""

    def __init__(self, partition: TopicPartition, future: Future[Any]) -> None:
        super().__init__(partition)
        self.future = future

    def deliver(self, reply: Reply) -> bool:
        try:
            self.future.set_result(reply)
        except InvalidStateError:
            pass  # cancelled meanwhile
        return True

    def fail(self, error: BaseException) -> None:
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            pass  # cancelled meanwhile


class StreamSlot(Slot):
    """The unread replies of ``stream``, and how it ended.

    :param max_unread: past so many, the stream ends with an error behind them: the thread that
        reads replies cannot wait for one reader.
    """

    def __init__(self, partition: TopicPartition, max_unread: int = 10_000) -> None:
        super().__init__(partition)
        self._max_unread = max_unread
        self.condition = threading.Condition()  # guards everything below
        self.unread: deque[Reply] = deque()
        self.error: BaseException | None = None
        self.ended = False
        self._order = StreamOrder()

    def deliver(self, reply: Reply) -> bool | None:
        with self.condition:
            if self.ended:
                return True
            ready = self.arrange(reply)
            if ready is None:
                return None
            if len(self.unread) + len(ready) + self._order.waiting > self._max_unread:
                self._end_with(self._overflow())
            else:
                self.unread.extend(ready)
                self.ended = bool(ready) and self.is_end(ready[-1])
                self.outcome = _outcome_of(ready[-1]) if self.ended else None
                self.condition.notify()
            return self.ended

    def arrange(self, reply: Reply) -> list[Reply] | None:
        """What may be read now that *reply* came; ``None`` if it came before."""
        return self._order.accept(reply)

    def is_end(self, reply: Reply) -> bool:
        """Whether nothing comes after *reply*."""
        return reply.last

    def _overflow(self) -> TooManyUnreadReplies:
        return TooManyUnreadReplies(
            f"{self._max_unread} replies to one request waited in {self.partition.topic!r} to be "
            "read when the next one came: read faster, raise reply.max_unread, or let the server "
            "send fewer"
        )

    def _end_with(self, error: BaseException) -> None:
        self.error = error
        self.outcome = Outcome.FAILED
        self.ended = True
        self.condition.notify()

    def fail(self, error: BaseException) -> None:
        with self.condition:
            if not self.ended:
                self._end_with(error)

    def take(self, until: float) -> Reply | None:
        """The next reply, or ``None`` after the last one.

        :param until: the monotonic time at which waiting for it ends.
        :raises TimeoutError: if none came until then.
        """
        with self.condition:
            while True:
                if self.unread:
                    return self.unread.popleft()
                if self.error is not None:
                    raise self.error
                if self.ended:
                    return None
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self.condition.wait(left)


class GatherSlot(StreamSlot):
    """The unread replies of ``gather``: whose they are cannot be told, so none is the last."""

    def arrange(self, reply: Reply) -> list[Reply]:
        return [reply]

    def is_end(self, reply: Reply) -> bool:
        return False


class PendingRequests:
    """All requests of one client that wait for a reply.

    :param limit: how many may wait at once.
    :param partition_idle: called, outside the lock, when the last request that named a
        reply partition has ended.
    """

    def __init__(self, limit: int, partition_idle: Callable[[TopicPartition], None]) -> None:
        self._limit = limit
        self._partition_idle = partition_idle
        self._lock = BriefLock()  # guards the three below
        self._places = Places(limit)
        self._slots: dict[bytes, Slot] = {}
        self._waiting_on: Counter[TopicPartition] = Counter()

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, correlation_id: bytes, slot: Slot) -> None:
        """Wait for replies with *correlation_id*.

        :raises TooManyPendingRequests: if the limit is reached.
        """
        with self._lock:
            if not self._places.take(correlation_id):
                raise self._too_many("")
            self._slots[correlation_id] = slot
            self._waiting_on[slot.partition] += 1
            if slot.ticket is not None:
                slot.ticket.begin()

    @contextmanager
    def place_for(self, correlation_id: bytes, timeout: float) -> Iterator[None]:
        """Wait for a place, in turn; inside, it is kept for :meth:`add`.

        :param timeout: seconds to wait at most.
        :raises TooManyPendingRequests: if none became free until then.
        :raises ClientClosed: if the client closes meanwhile.
        """
        with self._lock:
            turn = self._places.line_up(correlation_id)
        try:
            turn.ended.wait(timeout)
            if turn.dismissed:
                raise ClientClosed("the client was closed before the request had a place")
            with self._lock:
                kept = self._places.is_kept(correlation_id)
            if not kept:
                raise self._too_many(f", and none ended for this one within {timeout:.3g} s")
            yield
        finally:
            with self._lock:
                self._places.forgo(correlation_id)

    def _too_many(self, how_long: str) -> TooManyPendingRequests:
        return TooManyPendingRequests(
            f"{self._limit} requests are waiting for their replies{how_long}; this one was not "
            "sent: send fewer at once, let it wait longer (reply.max_pending_wait_ms), or raise "
            "reply.max_pending"
        )

    def get(self, correlation_id: bytes) -> Slot | None:
        """The slot that waits for *correlation_id*."""
        return self._slots.get(correlation_id)

    def remove(self, correlation_id: bytes, outcome: Outcome = Outcome.CANCELLED) -> Slot | None:
        """Wait no longer; returns the slot if it was still waiting.

        :param outcome: how it ended, unless the slot knows better.
        """
        with self._lock:
            slot = self._slots.pop(correlation_id, None)
            if slot is None:
                return None
            self._places.give_back()
            self._waiting_on[slot.partition] -= 1
            idle = not self._waiting_on[slot.partition]
            if idle:
                del self._waiting_on[slot.partition]
        if slot.ticket is not None:
            slot.ticket.end(slot.outcome or outcome)
        if idle:
            self._partition_idle(slot.partition)
        return slot

    def is_waiting_on(self, partition: TopicPartition) -> bool:
        """Whether a request waits for a reply in *partition*."""
        return partition in self._waiting_on

    def remove_all(self) -> list[Slot]:
        """Forget everything, which counts as failed; returns what was waiting.

        Who waits for a place gets ``ClientClosed``.
        """
        with self._lock:
            self._places.dismiss()
            slots = list(self._slots.values())
            self._slots.clear()
            for _ in slots:
                self._places.give_back()
            self._waiting_on.clear()
        for slot in slots:
            if slot.ticket is not None:
                slot.ticket.end(Outcome.FAILED)
        return slots
