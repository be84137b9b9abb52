"""Thread-safe faces of the consumer and the producer, for users' code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from typing import Any, TypeVar

from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.errors import CommitFailed, ConfigurationError, NotConnected, SendFailed
from kafka_patterns.message import (
    EncodedMessage,
    OffsetAndMetadata,
    RecordMetadata,
    TopicPartition,
)
from kafka_patterns.synchronous import refuse_async, refuse_awaitable
from kafka_patterns.transport.base import Producer

__all__ = [
    "SEND_GRACE_SECONDS",
    "ConsumerDriver",
    "ProducerDriver",
    "unacknowledged",
    "wait_for_send",
]

T = TypeVar("T")

_COMMIT_SECONDS = 10.0
_GRACE_SECONDS = 1.0
SEND_GRACE_SECONDS = 1.0
"""How much longer than its timeout a send may take to tell its own outcome."""

CommitEntry = Mapping[str, Any]


class ConsumerDriver:
    """A consumer as users see it: any thread may call it.

    Behind it stand two consumers of kafka-python-ng, each used by one thread only: the member
    of the group and the fetcher.
    """

    def __init__(self, membership: Membership | None, fetcher: Fetcher) -> None:
        self._membership = membership
        self._fetcher = fetcher

    def commit_offsets(
        self,
        offsets: Mapping[TopicPartition, int] | Iterable[CommitEntry],
        timeout: float = _COMMIT_SECONDS,
    ) -> None:
        """Commit literally what is given, as Kafka does: the **next** offset to read.

        :param offsets: partition to offset, or entries as in kafkajs:
            ``{"topic": ..., "partition": ..., "offset": ..., "metadata": ...}``.
        :param timeout: seconds to wait for the broker's answer.
        :raises CommitFailed: if the broker did not take it in time.
        """
        wanted = _read_offsets(offsets)
        future = self._member().submit(lambda member: member.commit_now(wanted, timeout))
        _result(future, timeout)

    def committed(
        self, partitions: Iterable[TopicPartition], timeout: float = _COMMIT_SECONDS
    ) -> Mapping[TopicPartition, int | None]:
        """The group's committed offsets; ``None`` where there is none."""
        wanted = [TopicPartition(*partition) for partition in partitions]
        future = self._member().submit(lambda member: member.committed(wanted, timeout))
        found = _result(future, timeout)
        return {tp: None if entry is None else entry.offset for tp, entry in found.items()}

    def pause(self, *partitions: TopicPartition) -> None:
        """Deliver no further message of *partitions* until :meth:`resume`.

        What was delivered before is worked off. Nothing happens to those that are not assigned
        here, and none that leaves is paused when it comes back.

        :raises ConfigurationError: if one is no partition.
        """
        for partition in [_read_partition("pause", each) for each in partitions]:
            self._fetcher.pause(partition)

    def resume(self, *partitions: TopicPartition) -> None:
        """Deliver messages of *partitions* again, from where they were paused.

        :raises ConfigurationError: if one is no partition.
        """
        for partition in [_read_partition("resume", each) for each in partitions]:
            self._fetcher.resume(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read *partition* on from *offset*; nothing happens if it is not assigned here.

        What is queued of it is dropped, and what runs is not committed any more.

        :raises ConfigurationError: if *offset* is no ``int`` from 0, or *partition* no partition.
        """
        if type(offset) is not int or offset < 0:
            raise ConfigurationError(f"seek() to {offset!r}: that is no offset, an int from 0")
        self._fetcher.seek(_read_partition("seek", partition), offset)

    def run_on_consumer_thread(
        self, function: Callable[[Any], T], timeout: float | None = None
    ) -> T:
        """Run *function* with the group's ``KafkaConsumer`` in the thread that owns it.

        :param timeout: seconds to wait for the result; without end, if not given. Longer work
            than the session timeout costs the membership.
        """
        refuse_async(function, "run_on_consumer_thread():")
        future = self._member().submit(
            lambda member: refuse_awaitable(
                copy_context().run(function, member.unwrap()), "the function"
            )
        )
        return future.result(timeout)

    def unwrap(self) -> tuple[Any, Any]:
        """kafka-python's own objects: the member (or ``None``) and the fetcher's consumer."""
        membership = self._membership
        return (None if membership is None else membership.unwrap(), self._fetcher.unwrap())

    def _member(self) -> Membership:
        if self._membership is None:
            raise NotConnected("there is no consumer group here: nothing subscribed to a reply")
        return self._membership


class ProducerDriver:
    """A producer as users see it: any thread may call it.

    :param encode: writes a payload for a topic.
    :param send_timeout: seconds until a message must be with the broker, by default.
    """

    def __init__(
        self,
        producer: Producer,
        encode: Callable[[str, Any], EncodedMessage],
        send_timeout: float,
    ) -> None:
        self._producer = producer
        self._encode = encode
        self._send_timeout = send_timeout

    def send(self, topic: str, payload: Any, timeout: float | None = None) -> RecordMetadata:
        """Send *payload* to *topic* and wait until the broker has it.

        :raises SendFailed: if it does not.
        """
        timeout = self._send_timeout if timeout is None else timeout
        return wait_for_send(
            self._producer, self.send_future(topic, payload, timeout), topic, timeout
        )

    def send_future(
        self, topic: str, payload: Any, timeout: float | None = None
    ) -> Future[RecordMetadata]:
        """Send *payload* to *topic*; never waits. Callbacks run in an I/O thread."""
        timeout = self._send_timeout if timeout is None else timeout
        return self._producer.send(topic, self._encode(topic, payload), timeout=timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far has ended; ``False`` if it took longer."""
        return self._producer.flush(timeout)

    def unwrap(self) -> Any:
        """kafka-python's own producer."""
        return self._producer.unwrap()


def wait_for_send(
    producer: Producer, future: Future[RecordMetadata], topic: str, timeout: float
) -> RecordMetadata:
    """The position the broker gave to what *producer* sent.

    :raises SendFailed: with ``outcome_unknown`` if nothing is known after *timeout* seconds.
    """
    try:
        return future.result(timeout + SEND_GRACE_SECONDS)
    except FutureTimeoutError:
        raise unacknowledged(producer, topic, timeout) from None


def unacknowledged(producer: Producer, topic: str, timeout: float) -> SendFailed:
    """What a send ended with whose outcome is not known after *timeout* seconds."""
    trouble = producer.trouble()
    return SendFailed(
        f"the broker did not acknowledge a message for topic {topic!r} within {timeout:g} s"
        + (f" ({trouble})" if trouble else "")
        + "; it may have been written all the same",
        outcome_unknown=True,
        retriable=True,
    )


def _result(future: Future[T], timeout: float) -> T:
    try:
        return future.result(timeout + _GRACE_SECONDS)
    except FutureTimeoutError:
        raise CommitFailed(f"the group's coordinator did not answer within {timeout:g} s") from None


def _read_partition(name: str, given: Any) -> TopicPartition:
    """A partition that a user gave to the method *name*; a pair will do."""
    if not isinstance(given, tuple) or list(map(type, given)) != [str, int]:
        raise ConfigurationError(
            f"{name}({given!r}): write TopicPartition(topic, number), one for each partition"
        )
    return TopicPartition(*given)


def _read_offsets(
    offsets: Mapping[TopicPartition, int] | Iterable[CommitEntry],
) -> dict[TopicPartition, OffsetAndMetadata]:
    if isinstance(offsets, Mapping):
        entries = [(TopicPartition(*tp), offset, "") for tp, offset in offsets.items()]
    else:
        try:
            entries = [
                (
                    TopicPartition(entry["topic"], int(entry["partition"])),
                    entry["offset"],
                    entry.get("metadata") or "",
                )
                for entry in offsets
            ]
        except (KeyError, TypeError) as error:
            raise ConfigurationError(
                "commit_offsets() takes a mapping of TopicPartition to offset, or entries with "
                f"topic, partition and offset; {error} is missing"
            ) from error
    return {tp: OffsetAndMetadata(int(offset), metadata) for tp, offset, metadata in entries}
