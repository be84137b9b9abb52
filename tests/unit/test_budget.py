"""A shared bound holds, whoever comes and goes, and starves nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.server.budget import Budget


def budget_of(limit: int, *holdings: int) -> Budget:
    budget = Budget(limit)
    for held in holdings:
        budget.change(0, held)
    budget.share_among(holdings)
    return budget


def test_partition_that_is_alone_may_take_all() -> None:
    assert budget_of(100, 0).left(0) == 100


def test_partitions_have_equal_parts() -> None:
    budget = budget_of(100, 0, 10, 25, 25)

    assert [budget.left(held) for held in (0, 10, 25, 25)] == [25, 15, 0, 0]


def test_newcomers_share_what_somebody_with_too_much_leaves() -> None:
    budget = budget_of(100, 80, 0, 0, 0)

    rooms = [budget.left(held) for held in (80, 0, 0, 0)]

    assert rooms == [0, 6, 6, 6]


def test_newcomer_is_not_starved_by_somebody_who_has_it_all() -> None:
    budget = budget_of(100, 100, 0)

    assert budget.left(0) == 1

    budget.change(0, 1)
    assert budget.left(1) == 0


def test_what_is_worked_off_goes_to_those_who_have_less() -> None:
    budget = budget_of(100, 100, 0)

    budget.change(100, 50)

    assert budget.left(0) == 50


def test_holdings_of_a_partition_that_left_count_until_they_are_given_back() -> None:
    budget = budget_of(100, 60, 0)
    budget.share_among([0])
    assert budget.left(0) == 40

    budget.give_back(60)

    assert budget.left(0) == 100


def test_more_partitions_than_the_bound_hold_one_each() -> None:
    budget = budget_of(2, 0, 0, 0)

    assert [budget.left(0) for _ in range(3)] == [1, 1, 1]


class BudgetMachine(RuleBasedStateMachine):
    """Partitions come, take in rounds, work off, and leave with what they hold."""

    @initialize(limit=st.integers(1, 60))
    def start(self, limit: int) -> None:
        self.limit = limit
        self.budget = Budget(limit)
        self.open: list[int] = []
        self.left_behind = 0

    @rule()
    def come(self) -> None:
        self.open.append(0)
        self.budget.share_among(self.open)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.left_behind += self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.budget.share_among(self.open)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def take_in_a_round(self, data: st.DataObject) -> None:
        rooms = [self.budget.left(held) for held in self.open]
        before = sum(self.open) + self.left_behind
        for index, room in enumerate(rooms):
            held = self.open[index]
            self.open[index] += data.draw(st.integers(0, room))
            self.budget.change(held, self.open[index])
        # Whoever held nothing may have taken one beyond the bound.
        after = sum(self.open) + self.left_behind
        assert after <= max(before, self.limit) + len(self.open)
        assert after <= self.limit or after - before <= len(self.open)

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def work_off(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from([n for n, held in enumerate(self.open) if held]))
        held = self.open[index]
        self.open[index] = data.draw(st.integers(0, held - 1))
        self.budget.change(held, self.open[index])

    @precondition(lambda self: self.left_behind)
    @rule()
    def work_off_what_was_left_behind(self) -> None:
        self.left_behind -= 1
        self.budget.give_back(1)

    @invariant()
    def nobody_is_starved(self) -> None:
        assert all(self.budget.left(held) >= 1 for held in self.open if not held)

    @invariant()
    def nobody_exceeds_its_part(self) -> None:
        for held in self.open:
            assert self.budget.left(held) <= max(0, self.budget.part - held)


TestBudgetMachine = BudgetMachine.TestCase


@given(limit=st.integers(1, 1000), partitions=st.integers(1, 50), stuck=st.integers(0, 1000))
def test_sum_stays_within_the_bound_but_for_one_each(
    limit: int, partitions: int, stuck: int
) -> None:
    held = [min(stuck, limit), *[0] * partitions]
    budget = budget_of(limit, *held)

    for _ in range(5):
        rooms = [budget.left(one) for one in held]
        for index, room in enumerate(rooms):
            budget.change(held[index], held[index] + room)
            held[index] += room

    assert sum(held) <= limit + len(held)
