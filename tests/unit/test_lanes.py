"""Lanes keep order inside and run in parallel beside each other."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_patterns.consuming.timers import Timers
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.workers import WorkerPool
from tests.support.waiting import eventually

Item = tuple[str, int]


@pytest.fixture
def timers() -> Iterator[Timers]:
    made = Timers("lanes-under-test")
    yield made
    made.close(5)


@pytest.fixture
def lanes(timers: Timers) -> Iterator[Lanes[Item]]:
    made: Lanes[Item] = Lanes(timers)
    yield made
    made.close()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def put(lanes: Lanes[Item], lane: str, *numbers: int) -> None:
    lanes.put((lane, (lane, number)) for number in numbers)


def take(lanes: Lanes[Item]) -> Item:
    item = lanes.take()
    assert item is not None
    return item


def still_waits(future: Future[Any]) -> bool:
    return bool(wait([future], 0.03).not_done)


class TestOrder:
    def test_items_of_a_lane_come_in_their_order(self, lanes) -> None:
        put(lanes, "a", 1, 2)
        put(lanes, "a", 3)

        for number in (1, 2, 3):
            assert take(lanes) == ("a", number)
            lanes.done(("a", number))

    def test_next_item_of_a_lane_waits_for_the_one_before(self, lanes, in_thread) -> None:
        put(lanes, "a", 1, 2)
        take(lanes)
        second = in_thread(lanes.take)
        put(lanes, "b", 1)
        assert second.result(20) == ("b", 1)

        second = in_thread(lanes.take)
        assert still_waits(second)
        lanes.done(("a", 1))

        assert second.result(20) == ("a", 2)

    def test_lane_goes_to_the_end_of_the_queue_after_each_item(self, lanes) -> None:
        put(lanes, "long", 1, 2, 3)
        put(lanes, "short", 1)
        taken = []

        for _ in range(4):
            taken.append(take(lanes))
            lanes.done(taken[-1])

        assert taken == [("long", 1), ("short", 1), ("long", 2), ("long", 3)]

    def test_items_without_a_key_run_in_parallel(self, lanes) -> None:
        lanes.put([(None, ("x", 1)), (None, ("x", 2))])

        assert [take(lanes), take(lanes)] == [("x", 1), ("x", 2)]
        assert lanes.running == 2

    def test_waiting_workers_are_all_woken_for_many_lanes(self, lanes, in_thread) -> None:
        takers = [in_thread(lanes.take) for _ in range(4)]

        lanes.put((str(number), (str(number), number)) for number in range(4))

        assert {taker.result(20) for taker in takers} == {(str(n), n) for n in range(4)}


@settings(max_examples=20, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 5), max_size=12).map(tuple), min_size=1, max_size=8),
    retried=st.sets(st.integers(0, 95), max_size=10),
)
def test_several_threads_keep_the_order_of_each_lane(batches, retried) -> None:
    lanes: Lanes[tuple[int, int]] = Lanes(Timers("lanes-under-test"))
    seen: defaultdict[int, list[int]] = defaultdict(list)
    tried: set[int] = set()
    active: set[int] = set()
    overlaps: list[int] = []

    def work(item: tuple[int, int]) -> None:
        lane, number = item
        if lane in active:
            overlaps.append(lane)
        active.add(lane)
        again = number in retried - tried
        tried.add(number)
        if not again:
            seen[lane].append(number)
        active.discard(lane)
        if again:
            lanes.hold(item, 0.001)
        else:
            lanes.done(item)

    pool = WorkerPool(4, lanes, work, "test-worker")
    pool.start()
    expected: defaultdict[int, list[int]] = defaultdict(list)
    number = 0
    for batch in batches:
        entries = []
        for lane in batch:
            entries.append((lane, (lane, number)))
            expected[lane].append(number)
            number += 1
        lanes.put(entries)

    eventually(lambda: seen == expected, describe=lambda: f"{expected}, got {seen}")
    lanes.close()
    assert pool.join(20) == []
    assert overlaps == []


class TestHold:
    def test_held_item_runs_again_before_the_rest_of_its_lane(self, lanes) -> None:
        put(lanes, "a", 1, 2)

        lanes.hold(take(lanes), 0.01)

        assert take(lanes) == ("a", 1)

    def test_held_item_does_not_run_before_its_time(self, lanes) -> None:
        put(lanes, "a", 1)
        started = time.monotonic()

        lanes.hold(take(lanes), 0.1)
        take(lanes)

        assert time.monotonic() - started >= 0.1

    def test_other_lanes_go_on_while_one_waits(self, lanes) -> None:
        put(lanes, "a", 1)
        lanes.hold(take(lanes), 3600)
        assert lanes.waiting == 1

        put(lanes, "b", 1)

        assert take(lanes) == ("b", 1)

    def test_item_added_to_a_waiting_lane_waits_too(self, lanes) -> None:
        put(lanes, "a", 1)
        lanes.hold(take(lanes), 3600)
        put(lanes, "a", 2)

        put(lanes, "b", 1)

        assert take(lanes) == ("b", 1)

    def test_shorter_wait_ends_first(self, lanes) -> None:
        for lane in "abc":
            put(lanes, lane, 1)
        for delay in (0.9, 0.3, 0.6):  # far apart: the machine may be slow
            lanes.hold(take(lanes), delay)

        assert [take(lanes)[0] for _ in range(3)] == ["b", "c", "a"]

    def test_worker_that_waits_for_work_learns_of_a_hold(self, lanes, in_thread) -> None:
        put(lanes, "a", 1)
        item = take(lanes)
        waiter = in_thread(lanes.take)

        lanes.hold(item, 0.01)

        assert waiter.result(20) == ("a", 1)


class TestDrop:
    def test_stale_items_are_forgotten_and_told(self, lanes) -> None:
        put(lanes, "a", 1, 2, 3)
        put(lanes, "b", 1)

        assert lanes.drop(lambda item: item[0] == "a") == [("a", 1), ("a", 2), ("a", 3)]

        assert take(lanes) == ("b", 1)

    def test_running_item_is_kept_and_its_lane_ends_with_it(self, lanes) -> None:
        put(lanes, "a", 1, 2)
        item = take(lanes)

        assert lanes.drop(lambda item: item[0] == "a") == [("a", 2)]
        lanes.done(item)

        put(lanes, "b", 1)
        assert take(lanes) == ("b", 1)
        assert lanes.drop(lambda item: item[0] == "a") == []

    def test_dropped_running_item_may_still_be_held(self, lanes) -> None:
        put(lanes, "a", 1)
        item = take(lanes)
        lanes.drop(lambda item: True)

        lanes.hold(item, 0)

        assert take(lanes) == ("a", 1)

    def test_stale_item_that_waits_for_its_next_try_is_dropped(self, lanes) -> None:
        put(lanes, "a", 1)
        lanes.hold(take(lanes), 3600)

        assert lanes.drop(lambda item: True) == [("a", 1)]
        assert lanes.waiting == 0

    def test_lane_of_a_dropped_name_can_begin_anew(self, lanes) -> None:
        put(lanes, "a", 1)
        lanes.hold(take(lanes), 0)
        lanes.drop(lambda item: True)

        put(lanes, "a", 2)

        assert take(lanes) == ("a", 2)


class TestFreeze:
    def test_nothing_starts_while_frozen(self, lanes, in_thread) -> None:
        lanes.freeze()
        put(lanes, "a", 1)
        taker = in_thread(lanes.take)

        assert lanes.wait_until_idle(0)
        assert still_waits(taker)

        lanes.thaw()
        assert taker.result(20) == ("a", 1)

    def test_wait_until_idle_ends_with_the_last_running_item(self, lanes, in_thread) -> None:
        put(lanes, "a", 1)
        put(lanes, "b", 1)
        running = [take(lanes), take(lanes)]
        lanes.freeze()
        idle = in_thread(lanes.wait_until_idle, 10)

        lanes.done(running[0])
        assert still_waits(idle)
        lanes.hold(running[1], 3600)

        assert idle.result(20)

    def test_wait_until_idle_gives_up_after_its_timeout(self, lanes) -> None:
        put(lanes, "a", 1)
        take(lanes)
        lanes.freeze()

        assert not lanes.wait_until_idle(0.01)
        assert lanes.running == 1

    def test_item_whose_wait_ends_while_frozen_runs_after_the_thaw(self, lanes) -> None:
        put(lanes, "a", 1)
        item = take(lanes)
        lanes.freeze()
        lanes.hold(item, 0)

        lanes.thaw()

        assert take(lanes) == ("a", 1)


class TestClose:
    def test_waiting_workers_end(self, lanes, in_thread) -> None:
        takers = [in_thread(lanes.take) for _ in range(3)]

        lanes.close()

        assert [taker.result(20) for taker in takers] == [None] * 3

    def test_queued_items_stay_undone(self, lanes) -> None:
        put(lanes, "a", 1)

        lanes.close()

        assert lanes.take() is None

    def test_running_item_can_still_be_done(self, lanes) -> None:
        put(lanes, "a", 1, 2)
        item = take(lanes)
        lanes.close()

        lanes.done(item)

        assert lanes.running == 0
