"""What a server does when its group rebalances, however it learns of it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_patterns import KafkaStatus
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.assignor import NO_CLAIM, Claim
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.group import GroupDecisions
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.transport.group import Assignment
from tests.support.waiting import eventually

ENTERED = TopicPartition("hero.entered", 0)
LEFT = TopicPartition("hero.left", 0)


class WatchedLanes(Lanes[Any]):
    """Says whether items may start."""

    may_start = True

    def freeze(self) -> None:
        super().freeze()
        self.may_start = False

    def thaw(self) -> None:
        super().thaw()
        self.may_start = True


class Parts:
    """A server's group decisions with what they decide about."""

    def __init__(self, timers: Timers) -> None:
        self.ledger = Ledger(100, 10**6)
        self.lanes = WatchedLanes(timers)
        self.statuses: list[KafkaStatus] = []
        self.flushes = 0
        self.epochs: dict[TopicPartition, AssignedPartition] = {}
        admin: Any = None
        fetcher: Any = SimpleNamespace(assign=self._assign, unassign=self._unassign)
        nothing: Any = SimpleNamespace(look_again=lambda member: None, warn=lambda: None)
        self.assignments = Assignments(self.ledger, admin, fetcher, from_beginning=True)
        self.decisions = GroupDecisions(
            self.ledger,
            self.lanes,
            Committer(self.ledger, interval=1.0, group="hero", wake=lambda: None),
            self.assignments,
            nothing,
            fetcher,
            group_id="hero",
            rebalance_timeout=5.0,
            stopping=threading.Event(),
            set_status=self.statuses.append,
            flush=self._flush,
            freed=lambda item: None,
            watch=nothing,
            fatal=lambda error: None,
        )

    def _flush(self, timeout: float) -> bool:
        self.flushes += 1
        return True

    def _assign(self, partition: TopicPartition, offset: int, token: AssignedPartition) -> None:
        self.epochs[partition] = token

    def _unassign(self, partition: TopicPartition) -> None:
        del self.epochs[partition]

    def begin(self) -> None:
        """The group gave it both, in generation 4."""
        self.decide(4)
        self.statuses.clear()

    def decide(self, generation: int, *partitions: TopicPartition, name: str = "member") -> None:
        given = Assignment(frozenset(partitions or (ENTERED, LEFT)), generation, name)
        self.decisions.on_assigned(member(), given)
        self.decisions.on_tick(member())

    def rebalance(self) -> None:
        """A rebalance begins."""
        self.decisions.before_rejoin(member())
        self.decisions.on_revoked(member(), membership_lost=False)


@pytest.fixture
def parts() -> Iterator[Parts]:
    timers = Timers("test-timers")
    made = Parts(timers)
    made.begin()
    yield made
    timers.close(5)


def member(*, lost: bool = False, rejoin_needed: bool = False) -> Any:
    return SimpleNamespace(
        membership_lost=lost,
        rejoin_needed=rejoin_needed,
        committed=committed_nine,
        commit=lambda offsets, done: done(None),
        commit_now=lambda offsets, timeout: None,
    )


def committed_nine(
    partitions: Collection[TopicPartition], timeout: float
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    return dict.fromkeys(partitions, OffsetAndMetadata(9))


def test_rebalance_that_was_announced_is_told_and_waited_for_once(parts: Parts):
    parts.decisions.before_rejoin(member())
    parts.decisions.on_revoked(member(), membership_lost=False)

    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert parts.flushes == 1


def test_rebalance_may_not_begin_while_handlers_run(parts: Parts):
    parts.lanes.put([("lane", "item")])
    running = parts.lanes.take()

    assert not parts.decisions.before_rejoin(member())
    assert not parts.decisions.before_rejoin(member())
    parts.lanes.done(running)

    assert parts.decisions.before_rejoin(member())
    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert parts.flushes == 1


def test_rebalance_begins_when_handlers_have_had_their_time(parts: Parts):
    parts.decisions._rebalance_timeout = 0.1
    parts.lanes.put([("lane", "item")])
    running = parts.lanes.take()

    eventually(lambda: parts.decisions.before_rejoin(member()))

    assert parts.lanes.running == 1
    assert parts.flushes == 0
    parts.lanes.done(running)


def test_rebalance_that_is_called_off_while_handlers_run_lets_others_start(parts: Parts):
    parts.lanes.put([("lane", "item")])
    running = parts.lanes.take()
    assert not parts.decisions.before_rejoin(member())

    parts.decisions.on_tick(member())

    assert parts.lanes.may_start
    parts.lanes.done(running)


@pytest.mark.parametrize("announced", [True, False])
def test_membership_that_was_lost_is_told_and_costs_all_partitions(
    parts: Parts, *, announced: bool
):
    if announced:
        parts.decisions.before_rejoin(member(lost=True))
    parts.decisions.on_revoked(member(lost=True), membership_lost=True)

    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert parts.ledger.partitions == []


def test_first_join_is_no_rebalance(parts: Parts):
    parts.ledger.close([ENTERED, LEFT])

    parts.decisions.before_rejoin(member(lost=True))
    parts.decisions.on_revoked(member(lost=True), membership_lost=True)

    assert parts.statuses == []


def test_rebalance_that_was_announced_and_does_not_come_holds_no_handler_up(parts: Parts):
    parts.decisions.before_rejoin(member())

    parts.decisions.on_tick(member())

    assert parts.statuses == [KafkaStatus.REBALANCING, KafkaStatus.CONNECTED]
    assert parts.lanes.may_start


def test_no_handler_starts_while_the_next_rebalance_is_due(parts: Parts):
    parts.decisions.before_rejoin(member())

    parts.decisions.on_tick(member(rejoin_needed=True))

    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert not parts.lanes.may_start


def test_handlers_start_again_after_the_rebalance(parts: Parts):
    parts.rebalance()

    parts.decide(5)

    assert parts.lanes.may_start


def test_partition_goes_on_where_it_was_in_the_very_next_generation(parts: Parts):
    before = dict(parts.epochs)
    parts.rebalance()

    parts.decide(5)

    assert parts.epochs == before
    assert not parts.epochs[ENTERED].lost


def test_partition_goes_on_where_it_was_if_the_generation_is_the_same(parts: Parts):
    before = dict(parts.epochs)
    parts.rebalance()

    parts.decide(4)

    assert parts.epochs == before


@pytest.mark.parametrize(
    ("generation", "name"),
    [(6, "member"), (3, "member"), (5, "another")],
    ids=["missed a generation", "group began anew", "came back under another name"],
)
def test_partition_that_others_may_have_had_meanwhile_begins_anew(
    parts: Parts, generation: int, name: str
):
    before = dict(parts.epochs)
    parts.rebalance()

    parts.decide(generation, name=name)

    assert all(epoch.lost for epoch in before.values())
    assert not parts.epochs[ENTERED].lost
    assert parts.epochs[ENTERED].tracker.position == 9


def test_partition_begins_anew_after_a_lost_membership_whatever_the_generation(parts: Parts):
    before = dict(parts.epochs)
    parts.decisions.before_rejoin(member(lost=True))

    parts.decide(5)

    assert all(epoch.lost for epoch in before.values())


def test_partition_that_an_assignment_in_between_took_away_begins_anew(parts: Parts):
    before = dict(parts.epochs)
    parts.rebalance()
    parts.decisions.on_assigned(member(), Assignment(frozenset([LEFT]), 5, "member"))
    parts.decisions.on_revoked(member(), membership_lost=False)

    parts.decide(6)

    assert before[ENTERED].lost
    assert parts.epochs[LEFT] is before[LEFT]


def test_claim_is_what_the_latest_generation_gave(parts: Parts):
    parts.decide(5, LEFT)

    assert parts.assignments.claim == Claim(5, frozenset([LEFT]))


def test_nothing_is_claimed_nor_opened_after_a_lost_membership(parts: Parts):
    parts.decisions.on_revoked(member(lost=True), membership_lost=True)

    parts.decisions.on_tick(member(lost=True, rejoin_needed=True))

    assert parts.assignments.claim == NO_CLAIM
    assert parts.epochs == {}
