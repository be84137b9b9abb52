"""What a server does when its group rebalances, however it learns of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_patterns import KafkaStatus
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.group import GroupDecisions
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import Ledger

ENTERED = TopicPartition("hero.entered", 0)


class Parts:
    """A server's group decisions with what they decide about."""

    def __init__(self, timers: Timers) -> None:
        self.ledger = Ledger(100, 10**6)
        self.lanes: Lanes[Any] = Lanes(timers)
        self.statuses: list[KafkaStatus] = []
        self.flushes = 0
        nothing: Any = None
        fetcher: Any = SimpleNamespace(unassign=lambda partition: None)
        self.decisions = GroupDecisions(
            self.ledger,
            self.lanes,
            Committer(self.ledger, interval=1.0, group="hero"),
            nothing,
            nothing,
            fetcher,
            group_id="hero",
            auto_commit=True,
            rebalance_timeout=5.0,
            stopping=threading.Event(),
            set_status=self.statuses.append,
            flush=self._flush,
            freed=lambda item: None,
            watch=nothing,
            fatal=lambda error: None,
        )
        self.ledger.open(ENTERED, OffsetAndMetadata(0))

    def _flush(self, timeout: float) -> bool:
        self.flushes += 1
        return True


@pytest.fixture
def parts() -> Iterator[Parts]:
    timers = Timers("test-timers")
    yield Parts(timers)
    timers.close(5)


def member(*, lost: bool = False) -> Any:
    return SimpleNamespace(membership_lost=lost)


def test_rebalance_that_was_announced_is_told_and_waited_for_once(parts: Parts):
    parts.decisions.before_rejoin(member())
    parts.decisions.on_revoked(member(), membership_lost=False)

    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert parts.flushes == 1


def test_rebalance_that_began_within_a_poll_is_told_and_waited_for_as_well(parts: Parts):
    parts.lanes.put([("lane", "item")])
    running = parts.lanes.take()
    ending = threading.Timer(0.05, lambda: parts.lanes.done(running))
    ending.start()

    parts.decisions.on_revoked(member(), membership_lost=False)

    assert parts.lanes.running == 0
    assert parts.statuses == [KafkaStatus.REBALANCING]
    assert parts.flushes == 1
    ending.join()


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
    parts.ledger.close([ENTERED])

    parts.decisions.before_rejoin(member(lost=True))
    parts.decisions.on_revoked(member(lost=True), membership_lost=True)

    assert parts.statuses == []
