"""Workers take from the lanes until these are closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kafka_patterns.consuming.timers import Timers
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.workers import WorkerPool
from tests.support.waiting import eventually

Item = tuple[str, int]


@pytest.fixture
def lanes() -> Iterator[Lanes[Item]]:
    timers = Timers("test-timers")
    made: Lanes[Item] = Lanes(timers)
    yield made
    made.close()
    timers.close(5)


def put(lanes: Lanes[Item], lane: str, *numbers: int) -> None:
    lanes.put((lane, (lane, number)) for number in numbers)


def test_worker_survives_what_its_work_raises(lanes, caplog) -> None:
    worked = []

    def work(item: Item) -> None:
        worked.append(item)
        lanes.done(item)
        if item == ("a", 1):
            raise SystemExit

    pool = WorkerPool(1, lanes, work, "test-worker")
    pool.start()
    put(lanes, "a", 1, 2)

    eventually(lambda: len(worked) == 2)
    lanes.close()
    assert pool.join(20) == []
    assert "a worker failed outside of any handler" in caplog.text


def test_join_names_the_threads_that_still_work(lanes) -> None:
    go_on = threading.Event()

    def work(item: Item) -> None:
        go_on.wait(60)
        lanes.done(item)

    pool = WorkerPool(1, lanes, work, "busy")
    pool.start()
    put(lanes, "a", 1)
    eventually(lambda: lanes.running == 1)
    lanes.close()

    assert pool.join(0.01) == ["busy-0"]

    go_on.set()
    assert pool.join(20) == []
