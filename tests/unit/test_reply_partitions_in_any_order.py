"""Assignments, slow readers and requests in any order leave no gap a reply could fall into."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.errors import NoReplyPartition
from kafka_patterns.message import TopicPartition
from tests.unit.reply_client import OTHER, TOPIC, Client, at


class PartitionsMachine(RuleBasedStateMachine):
    """Assignments, slow readers and requests in any order."""

    @initialize()
    def start(self) -> None:
        self.client = Client(TOPIC, OTHER)
        self.waiting: dict[bytes, TopicPartition] = {}
        self.assignment: dict[str, list[int]] | None = None
        self.count = 0

    @rule(
        mine=st.sets(st.integers(0, 3), max_size=3), others=st.sets(st.integers(0, 1), max_size=2)
    )
    def assign(self, mine: set[int], others: set[int]) -> None:
        self.assignment = {TOPIC: sorted(mine), OTHER: sorted(others)}
        self.client.partitions.assign(self.assignment)

    @rule(missing=st.sets(st.builds(at, st.integers(0, 3), st.sampled_from([TOPIC, OTHER]))))
    def ends_that_cannot_be_found(self, missing: set[TopicPartition]) -> None:
        self.client.reader.without_end = missing

    @precondition(lambda self: self.client.reader.opening)
    @rule(data=st.data())
    def begin_one(self, data: st.DataObject) -> None:
        opening = [partition for partition, _ in self.client.reader.opening]
        self.client.reader.begin(data.draw(st.sampled_from(opening)))

    @rule()
    def tick(self) -> None:
        self.client.partitions.open_wanted()

    @rule(topic=st.sampled_from([TOPIC, OTHER]))
    def request(self, topic: str) -> None:
        self.count += 1
        correlation_id = b"%d" % self.count
        named = self.client.partitions.named().get(topic)
        if named is None:
            with pytest.raises(NoReplyPartition):
                self.client.request(correlation_id, topic)
            return
        self.waiting[correlation_id] = self.client.request(correlation_id, topic)
        assert self.waiting[correlation_id] == at(named, topic)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def request_ends(self, data: st.DataObject) -> None:
        correlation_id = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[correlation_id]
        self.client.pending.remove(correlation_id)

    @invariant()
    def named_is_being_read(self) -> None:
        for topic, number in self.client.partitions.named().items():
            assert at(number, topic) in self.client.reader.reading

    @invariant()
    def partition_with_a_pending_request_is_being_read(self) -> None:
        assert set(self.waiting.values()) <= self.client.reader.reading

    @invariant()
    def nothing_else_is_being_read(self) -> None:
        named = {at(number, topic) for topic, number in self.client.partitions.named().items()}
        assert self.client.reader.reading <= named | set(self.waiting.values())

    @invariant()
    def no_partition_is_opened_twice_at_a_time(self) -> None:
        opening = [partition for partition, _ in self.client.reader.opening]
        assert len(opening) == len(set(opening))
        assert not set(opening) & self.client.reader.reading

    def teardown(self) -> None:
        """In the end, whatever happened, what the group gave is named and read."""
        self.client.reader.without_end = set()
        self.client.partitions.open_wanted()
        self.client.reader.begin()
        for topic, numbers in (self.assignment or {}).items():
            named = self.client.partitions.named().get(topic)
            assert named in numbers if numbers else named is None
        for correlation_id in list(self.waiting):
            self.client.pending.remove(correlation_id)
        self.waiting.clear()
        self.nothing_else_is_being_read()


TestReplyPartitions = PartitionsMachine.TestCase
