"""Which partition of each reply topic this client names in its requests, and which it reads.

The two differ on purpose. Requests name one partition per topic; read are the named ones and
those that a pending request still names. So a partition that moved to another instance is read
until its last request has ended, and a new one is named only once it is being read: no reply
falls into a gap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, TypeVar

from kafka_patterns.client.pending import PendingRequests, Slot
from kafka_patterns.client.reply_topics import topic_command
from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.errors import ClientClosed, NoReplyPartition, NotSubscribedToReply
from kafka_patterns.message import TopicPartition
from kafka_patterns.stalled import StalledPartition

__all__ = ["PartitionReader", "ReplyPartitions"]

SlotT = TypeVar("SlotT", bound=Slot)


class PartitionReader(Protocol):
    """Reads reply partitions; calls from any thread."""

    def read_from_end(
        self, partitions: Collection[TopicPartition], reading: Callable[[TopicPartition], None]
    ) -> Collection[TopicPartition]:
        """Fix the end offsets, read from there, then call *reading* for each.

        :returns: the partitions whose end could not be found in time; try them again.
        """
        ...

    def stop_reading(self, partition: TopicPartition) -> None:
        """Read *partition* no longer."""
        ...

    def stalled(self) -> Collection[StalledPartition]:
        """The partitions that cannot be read now."""
        ...


class ReplyPartitions:
    """The reply partitions of one client.

    :param pending: the requests that wait; asked whether a partition is still needed.
    :param brokers: the configured addresses, for the commands of errors.
    """

    def __init__(
        self,
        reader: PartitionReader,
        pending: PendingRequests,
        group: str,
        brokers: Collection[str],
    ) -> None:
        self._reader = reader
        self._pending = pending
        self._group = group
        self._brokers = brokers
        # Guards the seven below; brief, for every request needs it.
        self._changed = threading.Condition(BriefLock())  # type: ignore[arg-type]  # any lock does
        self._forgotten = False
        self._subscribed: set[str] = set()
        self._missing: set[str] = set()
        self._named: dict[str, int] = {}
        self._wanted: dict[str, int | None] = {}
        self._reading: set[TopicPartition] = set()
        self._opening: set[TopicPartition] = set()

    def subscribe(self, topic: str) -> None:
        """Requests may ask for replies in *topic*."""
        with self._changed:
            self._subscribed.add(topic)

    def note_missing(self, topics: Collection[str]) -> None:
        """*topics* do not exist, and the broker does not create them."""
        with self._changed:
            self._missing.update(topics)

    @property
    def subscribed(self) -> Collection[str]:
        """The reply topics."""
        with self._changed:
            return sorted(self._subscribed)

    def named(self) -> Mapping[str, int]:
        """Reply topic to the partition that new requests name."""
        with self._changed:
            return dict(self._named)

    def enlist(
        self, topic: str, correlation_id: bytes, make_slot: Callable[[TopicPartition], SlotT]
    ) -> SlotT:
        """Let a request wait on the named partition of *topic*, in one step with the choice.

        :raises NotSubscribedToReply: if ``subscribe_to_response_of`` is missing.
        :raises NoReplyPartition: if this instance holds no partition of *topic*, or may not read
            the one that it holds.
        :raises TooManyPendingRequests: if ``reply.max_pending`` is reached.
        :raises ClientClosed: after :meth:`forget`.
        """
        with self._changed:
            partition = self._named.get(topic)
            if partition is None:
                raise self._why_none(topic)
            for stalled in self._reader.stalled():
                if stalled.is_forbidden and stalled.topic == topic:
                    raise NoReplyPartition(f"replies cannot be read: {stalled.reason}")
            slot = make_slot(TopicPartition(topic, partition))
            self._pending.add(correlation_id, slot)
            return slot

    def _why_none(self, topic: str) -> Exception:
        if self._forgotten:
            return ClientClosed("the client was closed meanwhile")
        if topic not in self._subscribed:
            return NotSubscribedToReply(
                f"the reply topic {topic!r} is not read: call subscribe_to_response_of() with its "
                "pattern"
            )
        wanted = self._wanted.get(topic)
        if wanted is not None:
            return NoReplyPartition(
                f"partition {wanted} of the reply topic {topic!r} cannot be read yet: its leader "
                "does not answer. It is asked again until it does"
            )
        return NoReplyPartition(
            f"this instance holds no partition of the reply topic {topic!r} in group "
            f"{self._group!r}: {self._reason_and_remedy(topic)}"
        )

    def _reason_and_remedy(self, topic: str) -> str:
        if topic in self._missing:
            return (
                "the topic did not exist when this client subscribed to it, and the broker did not "
                "create it. Call ensure_reply_topics(partitions=N), N being the number of "
                f"instances, or run: {topic_command('--create', topic, 'N', self._brokers)} (the "
                "group hears of it within consumer.metadata_max_age_ms)"
            )
        return (
            "the topic has fewer partitions than the group has instances, or the group is led by a "
            "NestJS client that does not subscribe to it itself. Give it at least one partition "
            "per instance, by ensure_reply_topics(partitions=N) or: "
            f"{topic_command('--alter', topic, 'N', self._brokers)} (the group hears of it within "
            "consumer.metadata_max_age_ms); let all clients of the group "
            'subscribe to the same topics; or set reply.mode to "direct"'
        )

    def assign(self, assignment: Mapping[str, Collection[int]]) -> None:
        """The group decided: *assignment* holds the partitions per reply topic."""
        with self._changed:
            for topic in self._subscribed:
                held = sorted(assignment.get(topic, ()))
                if held:
                    self._missing.discard(topic)
                current = self._named.get(topic)
                if current in held:
                    self._wanted[topic] = current
                elif held:
                    self._want(topic, held)
                else:
                    self._wanted[topic] = None
                    self._name(topic, None)
            self._changed.notify_all()
        self.open_wanted()

    def _want(self, topic: str, held: list[int]) -> None:
        """Prefer a partition that is read already, else the lowest, as NestJS does."""
        read = [p for p in held if TopicPartition(topic, p) in self._reading]
        target = (read or held)[0]
        self._wanted[topic] = target
        if read:
            self._name(topic, target)

    def open_wanted(self) -> None:
        """Begin to read what is wanted and not read yet; call it again until all is open."""
        with self._changed:
            to_open = [tp for tp in self._wanted_partitions() if self._must_open(tp)]
            self._opening.update(to_open)
        if to_open:
            missing: Collection[TopicPartition] = to_open
            try:
                missing = self._reader.read_from_end(to_open, self._now_reading)
            finally:
                with self._changed:
                    self._opening.difference_update(missing)

    def _wanted_partitions(self) -> Iterable[TopicPartition]:
        return [TopicPartition(t, p) for t, p in self._wanted.items() if p is not None]

    def _must_open(self, partition: TopicPartition) -> bool:
        return partition not in self._reading and partition not in self._opening

    def _now_reading(self, partition: TopicPartition) -> None:
        topic, number = partition
        with self._changed:
            self._opening.discard(partition)
            self._reading.add(partition)
            if self._wanted.get(topic) == number:
                self._name(topic, number)
            else:
                self._stop_if_idle(partition)
            self._changed.notify_all()

    def _name(self, topic: str, number: int | None) -> None:
        before = self._named.pop(topic, None)
        if number is not None:
            self._named[topic] = number
        if before is not None and before != number:
            self._stop_if_idle(TopicPartition(topic, before))

    def _stop_if_idle(self, partition: TopicPartition) -> None:
        topic, number = partition
        needed = number in (self._named.get(topic), self._wanted.get(topic))
        if partition in self._reading and not needed and not self._pending.is_waiting_on(partition):
            self._reading.discard(partition)
            self._reader.stop_reading(partition)

    def partition_idle(self, partition: TopicPartition) -> None:
        """The last request that named *partition* has ended."""
        with self._changed:
            self._stop_if_idle(partition)

    @property
    def settled(self) -> bool:
        """Whether each reply topic is named, or known to be held by others."""
        with self._changed:
            return self._is_settled()

    def _is_settled(self) -> bool:
        return all(
            topic in self._named or self._wanted.get(topic, topic) is None
            for topic in self._subscribed
        )

    @property
    def unopened(self) -> Collection[TopicPartition]:
        """The partitions that are to be named, and whose ends nobody is looking up now."""
        with self._changed:
            return [tp for tp in self._wanted_partitions() if self._must_open(tp)]

    def wait_until_named(self, topics: Collection[str], timeout: float) -> bool:
        """Wait until requests can name all *topics*; ``False`` if *timeout* passed first."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not all(topic in self._named for topic in topics):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return False
            return True

    def wait_until_settled(self, timeout: float) -> bool:
        """Wait for :attr:`settled`; ``False`` if *timeout* seconds passed first."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._is_settled():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return self._is_settled()
            return True

    def forget(self) -> None:
        """The client closed: nothing is assigned or read any more."""
        with self._changed:
            self._forgotten = True
            self._named.clear()
            self._wanted.clear()
            self._reading.clear()
            self._opening.clear()
