"""No partition waits for news of another one."""

from __future__ import annotations

import math
from collections.abc import Collection

import pytest
from kafka import TopicPartition as KafkaTopicPartition
from kafka.future import Future as KafkaFuture

from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.base import Room
from kafka_patterns.transport.kafka_python.fetches import Fetches
from tests.support.waiting import eventually
from tests.transport.parts import ALL, produce, values

BUSY, IDLE, OTHER = (KafkaTopicPartition("hero", number) for number in range(3))
LONG_MS = 500
PATIENT_CONSUMER = {"fetch_max_wait_ms": 60_000}
PATIENT_CLIENT = {"request_timeout_ms": 90_000}


class Position:
    position = 0


class Cluster:
    def __init__(self) -> None:
        self.leaders: dict[KafkaTopicPartition, int | None] = {}
        self._coordinator_brokers: dict[object, object] = {}

    def leader_for_partition(self, partition: KafkaTopicPartition) -> int | None:
        return self.leaders.get(partition, 1)

    def broker_metadata(self, broker: int) -> str:
        return f"where {broker} is"

    def request_update(self) -> None:
        pass


class Rig:
    """Fetches on a network, a clock and positions that the test sets."""

    _isolation_level = 0

    def __init__(self) -> None:
        self.config = {
            "fetch_max_wait_ms": LONG_MS,
            "fetch_min_bytes": 1,
            "fetch_max_bytes": 1_000,
            "max_partition_fetch_bytes": 100,
            "api_version": (2, 6, 0),
        }
        self.now = 1_000.0
        self.cluster = Cluster()
        self.assignment = {tp: Position() for tp in (BUSY, IDLE, OTHER)}
        self.sent: dict[object, tuple[KafkaFuture, int, set[int]]] = {}
        self.refused: set[object] = set()
        self.held: dict[TopicPartition, float] = {}
        self.fetches = Fetches(
            self,  # type: ignore[arg-type]  # plays all of them
            self,
            self,
            lambda: self.now,
        )

    def _handle_fetch_response(self, *_: object) -> None:
        pass

    def ready(self, node: object, *, metadata_priority: bool) -> bool:
        return node not in self.refused

    def send(self, node: object, request: object, *, wakeup: bool) -> KafkaFuture:
        answer = KafkaFuture()
        topics = request.topics  # type: ignore[attr-defined]
        numbers = {number for _, partitions in topics for number, *_ in partitions}
        self.sent[node] = (answer, request.max_wait_time, numbers)  # type: ignore[attr-defined]
        return answer

    def ask(self, *partitions: KafkaTopicPartition) -> bool:
        return self.fetches.ask(partitions, self.held)

    def answer(self, node: object) -> None:
        self.sent.pop(node)[0].success(None)

    def hold(self, partition: KafkaTopicPartition) -> None:
        self.held[TopicPartition(*partition)] = self.now

    def let_pass(self, seconds: float) -> None:
        self.now += seconds

    @property
    def asked(self) -> dict[object, tuple[int, Collection[int]]]:
        """Per connection how long the broker may wait, and for which partitions."""
        return {node: (wait, numbers) for node, (_, wait, numbers) in self.sent.items()}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_all_are_asked_for_together(rig: Rig) -> None:
    assert rig.ask(BUSY, IDLE, OTHER)
    assert not rig.ask(BUSY, IDLE, OTHER)

    assert rig.asked == {1: (LONG_MS, {0, 1, 2})}


def test_partition_that_was_left_out_does_not_wait_for_the_others(rig: Rig) -> None:
    rig.hold(BUSY)
    rig.ask(IDLE, OTHER)
    rig.let_pass(0.1)

    rig.held.clear()
    rig.ask(BUSY, IDLE, OTHER)

    assert rig.asked == {1: (LONG_MS, {1, 2}), "second-1": (LONG_MS, {0})}


def test_partition_that_is_read_from_elsewhere_is_asked_for_at_once(rig: Rig) -> None:
    rig.ask(BUSY, IDLE)
    rig.let_pass(0.1)

    rig.assignment[BUSY].position = 7
    rig.ask(BUSY, IDLE)

    assert rig.asked == {1: (LONG_MS, {0, 1}), "second-1": (LONG_MS, {0})}


def test_question_that_was_just_asked_is_waited_for(rig: Rig) -> None:
    """Its answer may come at once, and then one question asks for all."""
    rig.ask(IDLE)

    assert not rig.ask(BUSY, IDLE)
    assert 0 < rig.fetches.seconds_until_next() < 0.01
    rig.answer(1)
    assert rig.ask(BUSY, IDLE)

    assert rig.asked == {1: (LONG_MS, {0, 1})}
    assert rig.fetches.seconds_until_next() == math.inf


def test_question_that_was_just_asked_is_not_waited_for_long(rig: Rig) -> None:
    rig.ask(IDLE)
    rig.ask(BUSY, IDLE)

    rig.let_pass(rig.fetches.seconds_until_next())

    assert rig.ask(BUSY, IDLE)
    assert set(rig.asked) == {1, "second-1"}


def test_last_free_connection_is_soon_free_again_for_what_lies_here(rig: Rig) -> None:
    rig.ask(IDLE)
    rig.let_pass(0.1)
    rig.hold(BUSY)

    rig.ask(IDLE, OTHER)

    wait, numbers = rig.asked["second-1"]
    assert numbers == {2}
    assert wait < LONG_MS / 10


def test_what_lies_here_for_hours_costs_no_questions(rig: Rig) -> None:
    rig.hold(BUSY)
    rig.let_pass(3600)
    rig.ask(IDLE)
    rig.let_pass(0.1)

    rig.ask(IDLE, OTHER)

    assert rig.asked["second-1"] == (LONG_MS, {2})


def test_second_connection_that_does_not_come_costs_no_more_than_the_first(rig: Rig) -> None:
    rig.refused.add("second-1")
    rig.ask(IDLE)
    rig.let_pass(0.1)
    assert not rig.ask(BUSY, IDLE)

    rig.answer(1)

    assert rig.ask(BUSY, IDLE)
    assert rig.asked == {1: (LONG_MS, {0, 1})}


def test_new_leader_is_asked_though_the_old_one_has_not_answered(rig: Rig) -> None:
    rig.ask(BUSY, IDLE)

    rig.cluster.leaders[BUSY] = 2
    rig.ask(BUSY, IDLE)

    assert rig.asked == {1: (LONG_MS, {0, 1}), 2: (LONG_MS, {0})}


def test_partition_without_leader_is_asked_for_once_it_has_one(rig: Rig) -> None:
    rig.cluster.leaders[BUSY] = None
    rig.ask(BUSY, IDLE)
    rig.answer(1)

    rig.cluster.leaders[BUSY] = 1
    rig.ask(BUSY, IDLE)

    assert rig.asked == {1: (LONG_MS, {0, 1})}


@pytest.mark.real_kafka
class TestLongWait:
    """The broker may wait for a minute: whatever has to wait for it fails."""

    def test_busy_partition_does_not_wait_for_idle_ones(self, parts, topic) -> None:
        name = topic(partitions=3)
        busy = TopicPartition(name, 0)
        producer = parts.producer()
        reader = parts.reader(
            {TopicPartition(name, number): 0 for number in range(3)},
            consumer=PATIENT_CONSUMER,
            client=PATIENT_CLIENT,
        )
        seen: list[bytes | None] = []

        def drained(room: Room, count: int) -> bool:
            seen.extend(values(reader.poll(0.05, lambda _: room).get(busy, [])))
            return len(seen) >= count

        for round_number in range(1, 4):
            produce(producer, name, *[b"%d" % number for number in range(250)])
            # A few at a time, so that the others are asked for without this one.
            eventually(lambda: drained(Room(40, 10**9), 250 * round_number - 200), 30)  # noqa: B023
            eventually(lambda: drained(ALL, 250 * round_number), 30)  # noqa: B023

        assert seen == [b"%d" % number for number in range(250)] * 3

    def test_partition_that_is_assigned_later_does_not_wait(self, parts, topic) -> None:
        name = topic(partitions=2)
        produce(parts.producer(), name, b"later", partition=1)
        reader = parts.reader(
            {TopicPartition(name, 0): 0}, consumer=PATIENT_CONSUMER, client=PATIENT_CLIENT
        )
        for _ in range(20):
            reader.poll(0.05, lambda _: ALL)

        reader.assign(TopicPartition(name, 1), 0)

        eventually(lambda: reader.poll(0.05, lambda _: ALL), 20)

    def test_sought_partition_does_not_wait(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, b"again")
        reader = parts.reader({partition: 1}, consumer=PATIENT_CONSUMER, client=PATIENT_CLIENT)
        for _ in range(20):
            reader.poll(0.05, lambda _: ALL)

        reader.seek(partition, 0)

        eventually(lambda: reader.poll(0.05, lambda _: ALL), 20)
