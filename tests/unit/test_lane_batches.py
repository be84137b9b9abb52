"""Lanes hand out batches, and keep to how many of one kind may run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from kafka_patterns.consuming.timers import Timer, Timers
from kafka_patterns.server.lanes import Lanes, Limit

Item = tuple[str, int]


@pytest.fixture
def timers() -> Iterator[Timers]:
    made = Timers("test-timers")
    yield made
    made.close(5)


@pytest.fixture
def lanes(timers) -> Iterator[Lanes[Item]]:
    made: Lanes[Item] = Lanes(timers)
    yield made
    made.close()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


class ManualTimers(Timers):
    """Timers whose time comes when the test says so."""

    def __init__(self) -> None:
        super().__init__("manual-timers")
        self.functions: list[Callable[[], object]] = []

    def at(self, due: float, function: Callable[[], object]) -> Timer:
        self.functions.append(function)
        return Timer(function, lambda _: None)


def put(lanes: Lanes[Item], lane: str, *numbers: int) -> None:
    lanes.put((lane, (lane, number)) for number in numbers)


def take(lanes: Lanes[Item]) -> Item:
    item = lanes.take()
    assert item is not None
    return item


def items(lane: str, *numbers: int) -> list[Item]:
    return [(lane, number) for number in numbers]


def still_waits(future: Future[Any]) -> bool:
    return bool(wait([future], 0.03).not_done)


class TestBatches:
    def test_batch_is_the_head_of_its_lane(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3)
        put(lanes, "b", 1)

        first = lanes.take()

        assert lanes.gather(first, 2) == items("a", 1, 2)
        assert lanes.gather(first, 9) == items("a", 1, 2, 3)

    def test_items_after_the_batch_run_next(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3)
        first = lanes.take()
        lanes.gather(first, 2)

        lanes.done(first, 2)

        assert lanes.take() == ("a", 3)

    def test_part_of_a_batch_can_be_done_and_the_rest_held(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3)
        first = lanes.take()
        lanes.gather(first, 3)

        lanes.hold(first, 0.01, done=2)

        assert lanes.take() == ("a", 3)

    def test_held_batch_is_woken_when_it_is_full(self, lanes) -> None:
        put(lanes, "a", 1)
        lanes.hold(lanes.take(), 3600, wake_at=3)
        put(lanes, "a", 2)
        assert lanes.waiting == 1

        put(lanes, "a", 3)

        assert lanes.waiting == 0
        first = lanes.take()
        assert lanes.gather(first, 3) == items("a", 1, 2, 3)

    def test_batch_that_filled_up_before_its_lane_was_held_does_not_wait(self, lanes) -> None:
        put(lanes, "a", 1)
        first = lanes.take()
        assert lanes.gather(first, 2) == items("a", 1)
        put(lanes, "a", 2)

        lanes.hold(first, 3600, wake_at=2)

        assert lanes.waiting == 0
        assert lanes.gather(lanes.take(), 2) == items("a", 1, 2)

    def test_wait_that_was_cut_short_does_not_cut_the_next_one_short(self) -> None:
        timers = ManualTimers()
        lanes: Lanes[Item] = Lanes(timers)
        put(lanes, "a", 1)
        lanes.hold(take(lanes), 0.2, wake_at=2)
        put(lanes, "a", 2)
        lanes.hold(take(lanes), 30)
        gathering, backoff = timers.functions

        gathering()
        assert lanes.waiting == 1

        backoff()
        assert lanes.waiting == 0
        assert lanes.take() == ("a", 1)

    def test_batch_that_runs_is_not_dropped_and_ends_with_its_lane(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3, 4)
        first = lanes.take()
        batch = lanes.gather(first, 3)

        assert lanes.drop(lambda _: True) == items("a", 4)

        lanes.done(first, len(batch))
        assert lanes.running == 0
        put(lanes, "a", 5)
        assert lanes.take() == ("a", 5)

    def test_failed_batch_that_became_stale_comes_again_to_be_thrown_away(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3)
        first = lanes.take()
        lanes.gather(first, 3)
        lanes.drop(lambda _: True)

        lanes.hold(first, 0, done=1)

        for number in (2, 3):
            item = lanes.take()
            assert item == ("a", number)
            lanes.done(item)


class TestLimits:
    @pytest.fixture
    def limits(self) -> dict[str, Limit]:
        return {"a": Limit(1), "b": Limit(2)}

    @pytest.fixture
    def lanes(self, timers, limits) -> Iterator[Lanes[Item]]:
        made: Lanes[Item] = Lanes(timers, lambda item: limits.get(item[0][0]))
        yield made
        made.close()

    def test_no_more_run_than_allowed(self, lanes, in_thread) -> None:
        for lane in ("a1", "a2"):
            put(lanes, lane, 1)
        assert lanes.take() == ("a1", 1)
        waiting = in_thread(lanes.take)
        assert still_waits(waiting)

        lanes.done(("a1", 1))

        assert waiting.result(30) == ("a2", 1)

    def test_other_kinds_pass_those_that_wait(self, lanes) -> None:
        for lane in ("a1", "a2", "b1", "b2", "c1"):
            put(lanes, lane, 1)

        taken = [lanes.take() for _ in range(4)]

        assert taken == [("a1", 1), ("b1", 1), ("b2", 1), ("c1", 1)]

    def test_held_item_makes_room(self, lanes) -> None:
        put(lanes, "a1", 1)
        put(lanes, "a2", 1)

        lanes.hold(lanes.take(), 3600)

        assert lanes.take() == ("a2", 1)

    def test_lane_that_was_dropped_while_it_waited_gives_its_turn_away(self, lanes, limits) -> None:
        for lane in ("a1", "a2", "a3", "c1"):
            put(lanes, lane, 1)
        assert lanes.take() == ("a1", 1)
        assert lanes.take() == ("c1", 1)
        assert lanes.drop(lambda item: item[0] == "a2") == [("a2", 1)]

        lanes.done(("a1", 1))

        assert lanes.take() == ("a3", 1)
        assert limits["a"].running == 1

    def test_everything_runs_in_the_end(self, lanes, in_thread, limits) -> None:
        expected = {(f"{kind}{lane}", n) for kind in "abc" for lane in range(4) for n in range(5)}
        for lane, number in sorted(expected):
            put(lanes, lane, number)
        seen: list[Item] = []
        most = dict.fromkeys(limits, 0)

        def work() -> None:
            while (item := lanes.take()) is not None:
                for name, limit in limits.items():
                    most[name] = max(most[name], limit.running)
                seen.append(item)
                lanes.done(item)
                if len(seen) == len(expected):
                    lanes.close()

        for worker in [in_thread(work) for _ in range(4)]:
            worker.result(30)

        assert set(seen) == expected
        assert most["a"] == 1
        assert most["b"] <= 2
        assert not any(limit.running for limit in limits.values())
