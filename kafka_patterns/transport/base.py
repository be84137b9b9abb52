"""The seam: what a transport must offer. Everything above it knows no client library.

Which thread may call what is part of the contract: a :class:`Reader` and a
:class:`~kafka_patterns.transport.group.Member` belong to one thread each, except for ``wakeup``
and ``interrupt``; a :class:`Producer` and an :class:`Admin` may be called from any thread.
Timeouts are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from kafka_patterns.message import EncodedMessage, Record, RecordMetadata, TopicPartition
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.transport.group import AssignmentListener, AssignmentPolicy, Member

__all__ = [
    "EARLIEST",
    "LATEST",
    "Admin",
    "BrokenOff",
    "Interrupted",
    "OffsetOutOfRange",
    "PartitionsReappeared",
    "Producer",
    "Reader",
    "Room",
    "Transport",
    "Unsupported",
]

EARLIEST = -2
"""The timestamp by which the protocol's ListOffsets asks for the first offset."""
LATEST = -1
"""The timestamp by which the protocol's ListOffsets asks for the end offset."""


class Interrupted(BaseException):
    """Ends a call that was broken off on purpose by ``interrupt``.

    Not an ``Exception``, so that no handler on the way swallows it.
    """


class BrokenOff(Interrupted):
    """Ends a wait for a group by ``break_off_join``: commits and ``close`` may follow."""


class Unsupported(Exception):
    """The brokers do not offer this request."""


class Room(NamedTuple):
    """How much of one partition may be delivered now. The last record may pass the bytes."""

    records: int
    bytes: int


class OffsetOutOfRange(Exception):
    """A reader's position is no longer in the log; says which partitions and positions."""

    def __init__(self, positions: Mapping[TopicPartition, int]) -> None:
        super().__init__(dict(positions))
        self.positions = dict(positions)


class PartitionsReappeared(Exception):
    """Partitions that no broker knew are there again, perhaps of a topic that was made anew.

    :param unknown_since: per partition the wall clock, in seconds since 1970.
    """

    def __init__(self, unknown_since: Mapping[TopicPartition, float]) -> None:
        super().__init__(dict(unknown_since))
        self.unknown_since = dict(unknown_since)


class Producer(Protocol):
    """Sends messages. Any thread."""

    def send(
        self,
        topic: str,
        message: EncodedMessage,
        *,
        timeout: float,
        missing_timeout: float | None = None,
    ) -> Future[RecordMetadata]:
        """Queue a message; never waits for the network.

        :param missing_timeout: for so many seconds, shared by all messages to *topic*, it may be
            created once the cluster said that it does not exist; *timeout* if not given.

        The future ends within about *timeout* seconds: with the position the broker gave,
        or with :class:`~kafka_patterns.errors.SendFailed`. Its callbacks run in an I/O
        thread and must not block.
        """
        ...

    def partitions(self, topic: str) -> Collection[int] | None:
        """The partitions of *topic* as far as they are known now; never waits."""
        ...

    def has_leader(self, topic: str, partition: int | None) -> bool:
        """Whether a message could be sent at once, as far as is known now; never waits."""
        ...

    def learn(self, topics: Collection[str]) -> None:
        """Messages to *topics* will come: know those that exist before; never waits."""
        ...

    def trouble(self) -> str:
        """Why brokers could not be reached at last; empty if there is nothing to say."""
        ...

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far has ended, and the callbacks of its futures have run.

        ``False`` if *timeout* passed first.
        """
        ...

    def close(self, timeout: float) -> None:
        """Flush for at most *timeout*, then fail what is left."""
        ...

    def unwrap(self) -> Any:
        """The client library's own producer."""
        ...


class Reader(Protocol):
    """Reads partitions it is told to read, from offsets it is told; no group."""

    def assign(self, partition: TopicPartition, offset: int) -> None:
        """Begin to read *partition* at *offset*."""
        ...

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        """Stop reading; what is buffered of them is dropped."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from *offset*."""
        ...

    def poll(
        self, timeout: float, room: Callable[[TopicPartition], Room]
    ) -> Mapping[TopicPartition, list[Record]]:
        """Return what arrived; wait up to *timeout* for the first record, or a wakeup.

        :param room: asked per partition how much may be returned. What there is no room for
            stays here, one chunk per partition, and is not fetched again. What cannot be read
            comes as a record that says so, the last of its partition in this call.
        :raises OffsetOutOfRange: if a position is not in the log any more.
        :raises PartitionsReappeared: before something is returned of partitions that were gone.
        """
        ...

    def take_reached(self) -> Mapping[TopicPartition, int]:
        """Up to which offset partitions were read to the end of a chunk since the last call.

        Everything below was returned, or is no record: compaction and the markers of
        transactions leave such offsets.
        """
        ...

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end of the log as last seen in a fetch."""
        ...

    def stalled(self) -> Collection[StalledPartition]:
        """From any thread: the partitions that cannot be read now.

        Each is tried again after a backoff of its own; the others are read meanwhile.
        """
        ...

    def wakeup(self) -> None:
        """From any thread: let a running ``poll`` return."""
        ...

    def interrupt(self) -> None:
        """From any thread: break off whatever runs, for good. Only ``close`` may follow."""
        ...

    def close(self) -> None:
        """Close the connections; does not block on the network."""
        ...

    def unwrap(self) -> Any:
        """The client library's own consumer."""
        ...


class Admin(Protocol):
    """Asks the cluster. Any thread; calls are answered one after the other."""

    def check_connection(self, timeout: float) -> None:
        """Return once a broker answered.

        :raises BrokersUnavailable: names the addresses, if none did within *timeout*.
        """
        ...

    def partitions(self, topic: str, timeout: float) -> Collection[int] | None:
        """The partitions of *topic*, asked anew; ``None`` if it does not exist.

        :raises NotAuthorized: if this user may not know.
        """
        ...

    def rights(
        self, topics: Collection[str], timeout: float
    ) -> Mapping[str, Collection[str] | None]:
        """Which of ``READ``, ``WRITE`` and ``DESCRIBE`` this user has on each topic that exists.

        None at all may also mean that the topic does not exist. ``None`` where the brokers do not
        tell. Makes no topic.

        :raises TransportError: if no broker answered within *timeout*.
        """
        ...

    def topics(self, timeout: float) -> Mapping[str, Collection[int]]:
        """All topics but the broker's internal ones, with their partitions, asked anew.

        :raises TransportError: if no broker answered within *timeout*.
        """
        ...

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        """The offset for each timestamp (:data:`EARLIEST`, :data:`LATEST`, milliseconds).

        Left out are partitions whose leader did not answer within *timeout*, those that this user
        may not look at, and those without a record of that time or later.
        """
        ...

    def create_topic(
        self, topic: str, partitions: int, replication_factor: int | None, timeout: float
    ) -> None:
        """Create *topic*, unless it exists.

        :param replication_factor: ``None`` for the brokers' default.
        :raises Unsupported: if the brokers do not offer that.
        :raises TransportError: if it was refused, or nobody did it within *timeout*.
        """
        ...

    def add_partitions(self, topic: str, partitions: int, timeout: float) -> None:
        """Let *topic* have so many partitions; raises as :meth:`create_topic` does."""
        ...

    def interrupt(self) -> None:
        """Break off a running call, for good."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Transport(Protocol):
    """Makes the parts; nothing is connected before one of them is asked for."""

    def producer(
        self,
        watch: Callable[[bool], None] | None = None,
        may_send: Callable[[], bool] | None = None,
    ) -> Producer:
        """A new producer.

        :param watch: told in its I/O thread, again and again, whether no broker can be reached.
        :param may_send: asked in its I/O thread just before messages leave; while it says no, they
            wait, and are dropped when the producer is closed.
        """
        ...

    def reader(
        self, max_bytes: int | None = None, watch: Callable[[bool], None] | None = None
    ) -> Reader:
        """A new reader.

        :param max_bytes: how much may lie there fetched and not taken, beside one batch of each
            partition that is larger than its part. No bound if not given.
        :param watch: told while it is polled, again and again, whether no broker can be reached.
        """
        ...

    def member(
        self,
        group_id: str,
        topics: Collection[str],
        policy: AssignmentPolicy,
        listener: AssignmentListener,
    ) -> Member:
        """A new member of *group_id* that subscribes to *topics*."""
        ...

    def admin(self) -> Admin:
        """A new admin."""
        ...
