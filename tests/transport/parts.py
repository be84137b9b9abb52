"""The parts of the transport, made for one test and closed after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

from kafka_patterns.errors import SendFailed, TransportError
from kafka_patterns.message import EncodedMessage, Record, RecordMetadata, TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.transport.base import Room
from kafka_patterns.transport.group import Assignment, AssignmentPolicy, MemberClaim
from kafka_patterns.transport.kafka_python.admin import KafkaAdmin
from kafka_patterns.transport.kafka_python.member import KafkaMember
from kafka_patterns.transport.kafka_python.producer import KafkaProducerFace
from kafka_patterns.transport.kafka_python.reader import KafkaReader
from kafka_patterns.transport.kafka_python.transport import KafkaPythonTransport
from tests.support.waiting import eventually

__all__ = [
    "ALL",
    "HERO",
    "TIMEOUT",
    "Listener",
    "Parts",
    "Policy",
    "all_room",
    "encoded",
    "failure",
    "polling",
    "produce",
    "read",
    "sent",
    "values",
]

ALL = Room(10**9, 10**9)
HERO = TopicPartition("hero", 0)
TIMEOUT = 10
"""Seconds that a send may take where time is not what the test is about."""
_CLOSE_SECONDS = 2.0


def all_room(_: TopicPartition) -> Room:
    return ALL


def encoded(
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    partition: int | None = None,
) -> EncodedMessage:
    return EncodedMessage(value=value, key=key, headers=list(headers), partition=partition)


def sent(
    producer: KafkaProducerFace, topic: str, message: EncodedMessage, timeout: float = TIMEOUT
) -> RecordMetadata:
    return producer.send(topic, message, timeout=timeout).result(timeout + 20)


def failure(future: Future[Any], timeout: float = 30) -> SendFailed:
    error = future.exception(timeout)
    assert isinstance(error, SendFailed)
    return error


def produce(
    producer: KafkaProducerFace, topic: str, *payloads: bytes | None, partition: int = 0
) -> list[RecordMetadata]:
    sent = [
        producer.send(topic, encoded(payload, partition=partition), timeout=10)
        for payload in payloads
    ]
    return [future.result(30) for future in sent]


def read(
    reader: KafkaReader,
    count: int,
    room: Callable[[TopicPartition], Room] = all_room,
    timeout: float = 30.0,
) -> list[Record]:
    records: list[Record] = []

    def enough() -> bool:
        for fetched in reader.poll(0.05, room).values():
            records.extend(fetched)
        return len(records) >= count

    eventually(enough, timeout, describe=lambda: f"{count} records; there are {len(records)}")
    return records


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


class Policy:
    """Gives all partitions of all topics to the first member by name; tells who it is."""

    name = "test-policy"
    version = 1

    def __init__(self, user_data: bytes = b"") -> None:
        self.own_user_data = user_data
        self.claims: Mapping[str, MemberClaim] = {}
        self.first_joins: list[bool] = []

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        self.first_joins.append(first_join)
        return self.own_user_data

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        self.claims = dict(members)
        first = min(members)
        everything = {topic: sorted(numbers) for topic, numbers in partitions.items()}
        return {member: everything if member == first else {} for member in members}


class Listener:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.revoked: list[bool] = []
        self.assigned: list[tuple[list[TopicPartition], int]] = []
        self.assignments: list[Assignment] = []

    def on_revoked(self, *, membership_lost: bool) -> None:
        self.revoked.append(membership_lost)

    def on_assigned(self, assignment: Assignment) -> None:
        self.assignments.append(assignment)
        self.assigned.append((sorted(assignment.partitions), assignment.generation))

    @property
    def partitions(self) -> list[TopicPartition] | None:
        return self.assigned[-1][0] if self.assigned else None


class Parts:
    """Makes parts and closes them at the end, even if the broker is gone by then.

    :param sections: options for all of them.
    """

    def __init__(self, servers: Sequence[str], **sections: Mapping[str, Any]) -> None:
        self._servers = list(servers)
        self._sections = sections
        self._closing = ExitStack()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def transport(self, **sections: Mapping[str, Any]) -> KafkaPythonTransport:
        merged: dict[str, dict[str, Any]] = {"client": {"brokers": self._servers}}
        for given in (self._sections, sections):
            for name, section in given.items():
                merged.setdefault(name, {}).update(section)
        return KafkaPythonTransport(KafkaOptions.of(merged), "hero-test")

    def reader(
        self,
        offsets: Mapping[TopicPartition, int] | None = None,
        *,
        max_bytes: int | None = None,
        **sections: Mapping[str, Any],
    ) -> KafkaReader:
        made = self.transport(**sections).reader(max_bytes)
        self._closing.callback(made.close)
        for partition, offset in (offsets or {}).items():
            made.assign(partition, offset)
        return made

    def producer(
        self, may_send: Callable[[], bool] | None = None, **sections: Mapping[str, Any]
    ) -> KafkaProducerFace:
        made = self.transport(**sections).producer(may_send=may_send)
        self._closing.callback(made.close, 0.5)
        return made

    def admin(self, **sections: Mapping[str, Any]) -> KafkaAdmin:
        made = self.transport(**sections).admin()
        self._closing.callback(made.close)
        return made

    def member(
        self,
        group: str,
        *topics: str,
        policy: AssignmentPolicy | None = None,
        listener: Listener | None = None,
        **sections: Mapping[str, Any],
    ) -> KafkaMember:
        made = self.transport(**sections).member(
            group, topics, policy or Policy(), listener or Listener()
        )
        self._closing.callback(made.close, _CLOSE_SECONDS)
        return made

    def joined(self, group: str, *topics: str, **more: Any) -> KafkaMember:
        """A member that has joined; nobody polls it any more."""
        listener = more.setdefault("listener", Listener())
        member = self.member(group, *topics, **more)

        def has_joined() -> bool:
            member.poll(0.05)
            return bool(listener.assigned)

        eventually(has_joined, describe="the join", retry_on=TransportError)
        return member


@contextmanager
def polling(*members: KafkaMember) -> Iterator[list[TransportError]]:
    """Poll each member in a thread of its own; yields the errors that its polls raised."""
    stopped = threading.Event()
    errors: list[TransportError] = []

    def poll(member: KafkaMember) -> None:
        while not stopped.is_set():
            try:
                member.poll(0.05)
            except TransportError as error:
                errors.append(error)

    threads = [threading.Thread(target=poll, args=[member], daemon=True) for member in members]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        stopped.set()
        for thread in threads:
            thread.join(20)
