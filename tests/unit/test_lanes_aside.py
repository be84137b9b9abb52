"""Which items wait aside: those of a lane whose head failed, until their turn comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.server.lanes import Lanes
from tests.unit.server_in_fake_time import FakeTime

Item = tuple[str, int]


class Aside:
    """Lanes in fake time, and what waits aside in them."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.items: list[Item] = []
        timers: object = self.time
        self.lanes: Lanes[Item] = Lanes(
            timers,  # type: ignore[arg-type]
            set_aside=self.items.extend,
            take_back=self.take_back,
        )

    def take_back(self, items: Iterable[Item]) -> None:
        for item in items:
            self.items.remove(item)

    def put(self, lane: str, *numbers: int) -> None:
        self.lanes.put((lane, (lane, number)) for number in numbers)

    def take(self) -> Item:
        item = self.lanes.take()
        assert item is not None
        return item


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside()
    yield made
    made.lanes.close()


def test_failed_head_and_all_behind_it_wait_aside(aside: Aside) -> None:
    aside.put("a", 1, 2)
    aside.put("b", 1)

    aside.lanes.hold(aside.take(), 5, failed=True)
    aside.put("a", 3)

    assert aside.items == [("a", 1), ("a", 2), ("a", 3)]


def test_they_come_back_one_by_one(aside: Aside) -> None:
    aside.put("a", 1, 2, 3)
    aside.lanes.hold(aside.take(), 5, failed=True)
    aside.time.move_on(5)

    first = aside.take()
    assert aside.items == [("a", 2), ("a", 3)]
    aside.lanes.done(first)
    aside.put("a", 4)
    assert aside.take() == ("a", 2)
    assert aside.items == [("a", 3)]


def test_head_that_fails_again_is_set_aside_once(aside: Aside) -> None:
    aside.put("a", 1, 2)
    for _ in range(3):
        aside.lanes.hold(aside.take(), 5, failed=True)
        assert aside.items.count(("a", 1)) == aside.items.count(("a", 2)) == 1
        aside.time.move_on(100)


def test_wait_without_a_failure_sets_nothing_aside(aside: Aside) -> None:
    aside.put("a", 1, 2)

    aside.lanes.hold(aside.take(), 5)

    assert aside.items == []


def test_what_is_dropped_comes_back_first(aside: Aside) -> None:
    aside.put("a", 1, 2, 3, 4)
    aside.lanes.hold(aside.take(), 5, failed=True)
    aside.time.move_on(5)
    aside.take()

    dropped = aside.lanes.drop(lambda item: item[1] in (2, 4))

    assert dropped == [("a", 2), ("a", 4)]
    assert aside.items == [("a", 3)]


@given(steps=st.lists(st.sampled_from(["put", "fail", "wait", "done", "drop"]), max_size=40))
def test_nothing_is_aside_twice_and_what_runs_never_is(steps: list[str]) -> None:
    aside = Aside()
    count = 0
    for step in ["put", *steps]:
        if step == "put":
            count += 1
            aside.put("a", count)
        elif step == "drop":
            aside.lanes.drop(lambda item: item[1] % 3 == 0)
        elif aside.lanes._lanes:
            item = aside.take()
            assert item not in aside.items
            if step in ("fail", "wait"):
                aside.lanes.hold(item, 1, failed=step == "fail")
                aside.time.move_on(1e9)
            else:
                aside.lanes.done(item)
        assert len(set(aside.items)) == len(aside.items)
    left = aside.lanes.drop(lambda item: True)
    assert aside.items == []
    assert len(left) <= count
    aside.lanes.close()
