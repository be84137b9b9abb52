"""The membership's thread comes back after whatever ends its member, but not at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Any

import pytest

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.consuming import membership
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.errors import GroupError, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.group import Assignment, AssignmentListener
from tests.support.waiting import eventually


class FakeMember:
    """Polls as the script says, then in peace."""

    rejoin_needed = False
    seconds_since_contact = 0.0

    def __init__(self, listener: AssignmentListener, failures: list[Exception]) -> None:
        self.listener = listener
        self.joins: list[Callable[[AssignmentListener], None]] = []
        self._failures = failures
        self._news = threading.Event()
        self.polls: list[float] = []
        self.closed_at: float | None = None
        self.broken_off = False

    def poll(self, timeout: float) -> None:
        self.polls.append(time.monotonic())
        while self.joins:
            self.joins.pop(0)(self.listener)
        if self._failures:
            raise self._failures.pop(0)
        self._news.wait(0.001)

    def missing_topics(self) -> Collection[str]:
        return ()

    def wakeup(self) -> None:
        self._news.set()

    def break_off_join(self) -> None:
        self.broken_off = True
        self._news.set()

    def close(self, timeout: float) -> None:
        self.closed_at = time.monotonic()


class Owner:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.crashes: list[BaseException] = []
        self.troubles: list[TransportError] = []
        self.told: list[Assignment | str] = []
        self.ticks = 0
        self.lets_rebalances_begin = threading.Event()
        self.lets_rebalances_begin.set()
        self.waits = 0

    def before_rejoin(self, member: Any) -> bool:
        self.waits += 1
        return self.lets_rebalances_begin.wait(0.01)

    def on_revoked(self, member: Any, *, membership_lost: bool) -> None:
        self.told.append("revoked")

    def on_assigned(self, member: Any, assignment: Assignment) -> None:
        self.told.append(assignment)

    def on_tick(self, member: Any) -> None:
        self.ticks += 1

    def on_trouble(self, error: TransportError) -> None:
        self.troubles.append(error)

    def on_crash(self, error: BaseException) -> None:
        self.crashes.append(error)

    def before_leave(self, member: Any) -> None: ...


class Group:
    """Makes a member for each try, which fails as the script says."""

    def __init__(self) -> None:
        self.script: list[list[Exception]] = []
        self.members: list[FakeMember] = []
        self.owner = Owner()
        self.membership = Membership(self.make, self.owner, "test-member")

    def make(self, listener: AssignmentListener) -> Any:
        self.members.append(FakeMember(listener, self.script.pop(0) if self.script else []))
        return self.members[-1]

    def start(self, *script: list[Exception]) -> None:
        self.script += script
        self.membership.start()


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    yield made
    assert made.membership.stop(20)


def crashes(count: int) -> list[list[Exception]]:
    return [[RuntimeError(f"crash {number}")] for number in range(count)]


def test_crashed_member_is_replaced_with_growing_pauses(group: Group) -> None:
    group.start(*crashes(3))

    eventually(lambda: group.owner.ticks)

    assert [str(error) for error in group.owner.crashes] == ["crash 0", "crash 1", "crash 2"]
    begins = [member.polls[0] for member in group.members]
    pauses = [later - earlier for earlier, later in pairwise(begins)]
    # A tenth of a second doubles each time; chance takes away a fifth at most.
    assert all(pause >= 0.08 * 2**n for n, pause in enumerate(pauses))


def test_dead_member_is_closed_before_the_pause(group: Group) -> None:
    group.start(*crashes(1))

    eventually(lambda: group.owner.ticks)

    closed_at = group.members[0].closed_at
    assert closed_at is not None
    assert group.members[1].polls[0] - closed_at >= 0.08


def test_pause_is_interrupted_by_the_stop(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_CRASH_BACKOFF", ExponentialBackoff(3600, 3600))
    group.start(*crashes(1))
    eventually(lambda: group.owner.crashes)

    started = time.monotonic()

    assert group.membership.stop(20)
    assert time.monotonic() - started < 15


def test_refusal_of_the_group_ends_it_for_good(group: Group) -> None:
    refusal = GroupError("another protocol")
    group.start([refusal])

    eventually(lambda: not group.membership.alive)

    assert group.owner.crashes == [refusal]
    assert group.membership.failure is refusal
    assert len(group.members) == 1


def test_trouble_keeps_the_member_however_long_it_lasts(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float | None = None) -> bool:
        waits.append(0.0 if seconds is None else seconds)
        return False

    stop_requested: Any = group.membership._stop_requested
    monkeypatch.setattr(stop_requested, "wait", wait)
    outage: list[Exception] = [TransportError("the coordinator is away") for _ in range(2_000)]

    group.start(outage)
    eventually(lambda: group.owner.ticks)

    assert len(group.owner.troubles) == 2_000
    assert group.owner.crashes == []
    assert len(group.members) == 1
    assert max(waits) <= 1.2
    assert min(waits[10:]) >= 0.8


def test_commands_run_with_the_member(group: Group) -> None:
    group.start()

    commanded: list[Any] = []
    group.membership.submit(commanded.append).result(20)

    assert commanded == group.members


def test_command_that_fails_is_the_failure_of_who_asked(group: Group) -> None:
    group.start()

    def fail(_: Any) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        group.membership.submit(fail).result(20)
    assert group.owner.crashes == []


def join(generation: int) -> Callable[[AssignmentListener], None]:
    def join(listener: AssignmentListener) -> None:
        listener.on_revoked(membership_lost=False)
        listener.on_assigned(given(generation))

    return join


def given(generation: int) -> Assignment:
    return Assignment(frozenset([TopicPartition("hero", generation)]), generation, "member")


def test_each_assignment_of_a_poll_that_joins_twice_is_told_before_the_next_begins(
    group: Group,
) -> None:
    group.start()
    eventually(lambda: group.owner.ticks)

    group.members[0].joins += [join(1), join(2)]

    eventually(lambda: len(group.owner.told) == 4)
    assert group.owner.told == ["revoked", given(1), "revoked", given(2)]


def test_assignment_of_a_member_that_failed_means_nothing_to_the_next(group: Group) -> None:
    def join_and_fail(listener: AssignmentListener) -> None:
        listener.on_assigned(given(1))
        raise RuntimeError("a bug in the base")

    group.start()
    eventually(lambda: group.owner.ticks)

    group.members[0].joins.append(join_and_fail)
    eventually(lambda: len(group.members) == 2)
    ticks = group.owner.ticks
    eventually(lambda: group.owner.ticks > ticks)

    assert group.owner.crashes
    assert group.owner.told == []


def test_assignment_is_told_though_the_rest_of_its_poll_fails(group: Group) -> None:
    def join_and_fail(listener: AssignmentListener) -> None:
        listener.on_assigned(given(1))
        raise TransportError("the coordinator is away")

    group.start()
    eventually(lambda: group.owner.ticks)

    group.members[0].joins.append(join_and_fail)

    eventually(lambda: group.owner.told == [given(1)])


@pytest.mark.parametrize("begins", ["announced", "within a poll"])
def test_commands_run_while_the_owner_does_not_let_a_rebalance_begin(
    group: Group, begins: str
) -> None:
    group.start()
    eventually(lambda: group.owner.ticks)
    group.owner.lets_rebalances_begin.clear()
    if begins == "announced":
        group.members[0].rejoin_needed = True
    else:
        group.members[0].joins.append(join(1))
    eventually(lambda: group.owner.waits)

    commanded: list[Any] = []
    group.membership.submit(commanded.append).result(20)

    assert commanded == group.members
    assert group.owner.told == []
    group.members[0].rejoin_needed = False
    group.owner.lets_rebalances_begin.set()


def test_stop_does_not_wait_until_the_owner_lets_a_rebalance_begin(group: Group) -> None:
    group.start()
    eventually(lambda: group.owner.ticks)
    group.owner.lets_rebalances_begin.clear()
    group.members[0].rejoin_needed = True
    eventually(lambda: group.owner.waits)

    assert group.membership.stop(20)
