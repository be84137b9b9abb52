"""A consumer group's commits, as the broker sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.reliability.coordinator import Group, GroupUnknown
from tests.reliability.journal import Position
from tests.support.waiting import eventually

__all__ = ["CommitWatch", "commit_round_trip", "is_in_sync"]

_REQUEST_SECONDS = 5.0
_WATCH_SECONDS = 0.05
_TRIALS = 5
_COORDINATOR_SECONDS = 30.0


class CommitWatch:
    """Looks at a group's committed offsets all the time, in a thread, and keeps each change.

    What it cannot see during an outage it sees after it.

    :param every: seconds between two looks.
    """

    def __init__(self, group: Group, every: float = _WATCH_SECONDS) -> None:
        self._group = group
        self._every = every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commit watch")
        self.seen: list[tuple[float, dict[tuple[str, int], int]]] = []
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def steps_back(self) -> list[str]:
        """Commits that went backwards."""
        found = []
        before: dict[tuple[str, int], int] = {}
        for at, offsets in self.seen:
            for partition, offset in offsets.items():
                if offset < before.get(partition, 0):
                    found.append(f"{partition}: {before[partition]} -> {offset} at {at:.3f}")
            before.update(offsets)
        return found

    def gaps(
        self,
        produced: Collection[Position],
        finished_by: Mapping[Position, float],
    ) -> list[str]:
        """Committed offsets with a record below that was not finished yet at that time.

        :param produced: what had to be finished.
        :param finished_by: when each record was.
        """
        found = []
        checked: dict[tuple[str, int], int] = {}
        for at, offsets in self.seen:
            for (topic, partition), offset in offsets.items():
                for below in range(checked.get((topic, partition), 0), offset):
                    position = Position(topic, partition, below)
                    if position in produced and finished_by.get(position, at + 1) > at:
                        found.append(f"{topic}[{partition}]: {below} in {offset} at {at:.3f}")
                checked[topic, partition] = max(offset, checked.get((topic, partition), 0))
        return found

    def _run(self) -> None:
        last: dict[tuple[str, int], int] = {}
        while not self._stopping.wait(self._every):
            try:
                offsets = self._group.committed()
            except GroupUnknown:
                continue
            if offsets != last:
                self.seen.append((time.monotonic(), offsets))
                last = offsets


def commit_round_trip(brokers: Sequence[str], topic: str) -> float:
    """The longest of a few commits, in seconds."""
    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(brokers),
            "group.id": f"{topic}.round-trip",
            "enable.auto.commit": False,
            "log_level": 2,
        }
    )

    def commit() -> bool:
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        return True

    # The first one looks for the coordinator, which may still load what it knows of the group.
    eventually(commit, _COORDINATOR_SECONDS, retry_on=KafkaException)
    longest = 0.0
    for _ in range(_TRIALS):
        began = time.monotonic()
        commit()
        longest = max(longest, time.monotonic() - began)
    consumer.close()
    return longest


def is_in_sync(brokers: Sequence[str], replicas: int) -> bool:
    """Whether every partition of every topic has so many replicas that are up to date."""
    admin = AdminClient({"bootstrap.servers": ",".join(brokers), "log_level": 2})
    topics = admin.list_topics(timeout=_REQUEST_SECONDS).topics.values()
    return all(
        len(partition.isrs) == replicas
        for topic in topics
        for partition in topic.partitions.values()
    )
