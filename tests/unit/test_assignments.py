"""Where a partition begins that the group has no commit for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from kafka_patterns.errors import TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.ledger import Ledger
from kafka_patterns.transport.base import EARLIEST, LATEST
from kafka_patterns.transport.group import Assignment

ZERO, ONE = TopicPartition("hero", 0), TopicPartition("hero", 1)
OTHER = TopicPartition("villain", 0)
FIRST, END = 3, 90


class Cluster:
    """The group's offsets and the logs, in the place of member and admin."""

    def __init__(self) -> None:
        self.offsets_of_group: dict[TopicPartition, OffsetAndMetadata] = {}
        self.failures: list[TransportError] = []

    def committed(
        self, partitions: Collection[TopicPartition], timeout: float
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        if self.failures:
            raise self.failures.pop()
        return {partition: self.offsets_of_group.get(partition) for partition in partitions}

    def commit_now(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout: float
    ) -> None:
        self.offsets_of_group.update(offsets)

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        return {tp: {EARLIEST: FIRST, LATEST: END}[at] for tp, at in timestamps.items()}


class Instance:
    """One server of the group, that found these partitions when it started."""

    def __init__(self, cluster: Cluster, existed: Mapping[str, Collection[int]]) -> None:
        self.ledger = Ledger(100, 10**6)
        self.cluster: Any = cluster
        admin: Any = cluster
        fetcher: Any = self
        self.assignments = Assignments(self.ledger, admin, fetcher, from_beginning=False)
        self.assignments.existed(existed)

    def assign(self, partition: TopicPartition, offset: int, token: object) -> None:
        """In the place of the fetcher."""

    def open(self, *partitions: TopicPartition) -> Mapping[TopicPartition, int]:
        self.assignments.set(Assignment(frozenset(partitions), 1, "member"))
        self.assignments.open_missing(self.cluster)
        return self.ledger.positions()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_new_group_begins_at_the_end(cluster: Cluster) -> None:
    instance = Instance(cluster, {"hero": [0, 1]})
    instance.assignments.look_first(instance.cluster)

    assert instance.open(ZERO, ONE) == {ZERO: END, ONE: END}


def test_all_members_that_start_a_new_group_together_begin_at_the_end(cluster: Cluster) -> None:
    instances = [Instance(cluster, {"hero": [0, 1]}) for _ in range(2)]
    for instance in instances:
        instance.assignments.look_first(instance.cluster)

    assert instances[0].open(ZERO) == {ZERO: END}
    assert instances[1].open(ONE) == {ONE: END}


@pytest.mark.parametrize("looks_first", [True, False])
def test_partition_that_was_added_while_others_ran_begins_at_its_beginning(
    cluster: Cluster, *, looks_first: bool
) -> None:
    cluster.offsets_of_group = {ZERO: OffsetAndMetadata(7)}
    later = Instance(cluster, {"hero": [0, 1], "villain": [0]})
    if looks_first:
        later.assignments.look_first(later.cluster)

    # Of the other topic the group has no commit: it is new to the group.
    assert later.open(ZERO, ONE, OTHER) == {ZERO: 7, ONE: FIRST, OTHER: END}


def test_coordinator_that_does_not_answer_at_first_is_asked_again(cluster: Cluster) -> None:
    cluster.offsets_of_group = {ZERO: OffsetAndMetadata(7)}
    cluster.failures = [TransportError("the coordinator is away")]
    later = Instance(cluster, {"hero": [0, 1]})

    later.assignments.look_first(later.cluster)

    assert later.open(ONE) == {ONE: FIRST}


def test_partition_that_was_not_there_at_the_start_begins_at_its_beginning(
    cluster: Cluster,
) -> None:
    instance = Instance(cluster, {"hero": [0]})
    instance.assignments.look_first(instance.cluster)

    assert instance.open(ZERO, ONE) == {ZERO: END, ONE: FIRST}
