"""Requests that wait for their replies: correlation id to slot. Pure: no thread, no clock."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol

import attrs

from kafka_patterns.errors import TooManyPendingRequests
from kafka_patterns.message import Record, TopicPartition

__all__ = [
    "FutureSlot",
    "PendingRequests",
    "Reply",
    "ReplySlot",
    "Slot",
    "StreamOrder",
    "StreamSlot",
]


@attrs.frozen
class Reply:
    """One record that answers a request, as far as its headers tell.

    :param error: the remote error object or text; ``None`` if it is no error.
    :param last: nothing follows.
    :param empty: it ends the request without a value: an error header that says nothing.
    :param sequence: which item of a stream it is, from 0 on; ``None`` if the server does not say.
    """

    record: Record
    error: Any = None
    last: bool = False
    empty: bool = False
    sequence: int | None = None

    @property
    def is_bare_end(self) -> bool:
        """Whether it only ends a stream that had values before."""
        return self.last and self.error is None and self.record.value is None


class Slot(Protocol):
    """Where one request waits."""

    partition: TopicPartition

    def deliver(self, reply: Reply) -> bool | None:
        """Take a reply, in the fetcher's thread; ``True`` if the request has ended.

        ``None`` if the reply came before and is dropped.
        """
        ...

    def fail(self, error: BaseException) -> None:
        """End with *error*, unless it has ended."""
        ...


class ReplySlot:
    """A caller blocked in ``send``, until the first reply or an error."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        # Held until the end. An event would do; it costs several times as much.
        self._running = threading.Lock()
        self._running.acquire()

    def wait(self, timeout: float) -> bool:
        """Wait for the end, at most *timeout* seconds; whether it came. For one thread, once."""
        return self._running.acquire(timeout=max(0.0, timeout))

    def deliver(self, reply: Reply) -> bool:
        self.reply = reply
        self._end()
        return True

    def fail(self, error: BaseException) -> None:
        if self.reply is None:
            self.error = error
        self._end()

    def _end(self) -> None:
        try:
            self._running.release()
        except RuntimeError:
            pass  # it has ended already


class FutureSlot:
    """A future of ``send_future``; it ends with the first reply, still undecoded."""

    def __init__(self, partition: TopicPartition, future: Future[Any]) -> None:
        self.partition = partition
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


class StreamOrder:
    """Puts the numbered items of a stream in order, each once; the others pass as they come.

    A server that is given a request again numbers its items from 0 again, and an item whose
    sending failed at first may come after its successors.
    """

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Reply] = {}

    def accept(self, reply: Reply) -> list[Reply] | None:
        """What may be read now, up to the last item; ``None`` if *reply* came before."""
        if reply.sequence is None:
            return [reply]
        if reply.sequence < self._next:
            return [_without_value(reply)] if reply.last else None
        if reply.sequence in self._early and not reply.last:
            return None
        self._early[reply.sequence] = reply
        ready: list[Reply] = []
        while self._next in self._early and not (ready and ready[-1].last):
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready


def _without_value(reply: Reply) -> Reply:
    """The end that a repeated item is, beside the value that was read before."""
    return attrs.evolve(reply, record=reply.record._replace(value=None))


class StreamSlot:
    """The unread replies of ``stream``, and how it ended."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.condition = threading.Condition()  # guards everything below
        self.unread: deque[Reply] = deque()
        self.error: BaseException | None = None
        self.ended = False
        self._order = StreamOrder()

    def deliver(self, reply: Reply) -> bool | None:
        with self.condition:
            if self.ended:
                return True
            ready = self._order.accept(reply)
            if ready is None:
                return None
            self.unread.extend(ready)
            self.ended = bool(ready) and ready[-1].last
            self.condition.notify()
            return self.ended

    def fail(self, error: BaseException) -> None:
        with self.condition:
            if not self.ended:
                self.error = error
                self.ended = True
            self.condition.notify()


class PendingRequests:
    """All requests of one client that wait for a reply.

    :param limit: how many may wait at once.
    :param partition_idle: called, outside the lock, when the last request that named a
        reply partition has ended.
    """

    def __init__(self, limit: int, partition_idle: Callable[[TopicPartition], None]) -> None:
        self._limit = limit
        self._partition_idle = partition_idle
        self._lock = threading.Lock()  # guards the two below
        self._slots: dict[bytes, Slot] = {}
        self._waiting_on: Counter[TopicPartition] = Counter()

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, correlation_id: bytes, slot: Slot) -> None:
        """Wait for replies with *correlation_id*.

        :raises TooManyPendingRequests: if the limit is reached.
        """
        with self._lock:
            if len(self._slots) >= self._limit:
                raise TooManyPendingRequests(
                    f"{self._limit} requests are waiting for their replies: raise "
                    "reply.max_pending, or send fewer at once"
                )
            self._slots[correlation_id] = slot
            self._waiting_on[slot.partition] += 1

    def get(self, correlation_id: bytes) -> Slot | None:
        """The slot that waits for *correlation_id*."""
        return self._slots.get(correlation_id)

    def remove(self, correlation_id: bytes) -> Slot | None:
        """Wait no longer; returns the slot if it was still waiting."""
        with self._lock:
            slot = self._slots.pop(correlation_id, None)
            if slot is None:
                return None
            self._waiting_on[slot.partition] -= 1
            idle = not self._waiting_on[slot.partition]
            if idle:
                del self._waiting_on[slot.partition]
        if idle:
            self._partition_idle(slot.partition)
        return slot

    def is_waiting_on(self, partition: TopicPartition) -> bool:
        """Whether a request waits for a reply in *partition*."""
        return partition in self._waiting_on

    def remove_all(self) -> list[Slot]:
        """Forget everything; returns what was waiting."""
        with self._lock:
            slots = list(self._slots.values())
            self._slots.clear()
            self._waiting_on.clear()
        return slots
