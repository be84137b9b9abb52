"""A lock that many threads want for moments keeps them apart, and serves a condition."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from kafka_patterns.consuming.brief_lock import BriefLock

THREADS = 8
ROUNDS = 2_000


def test_threads_that_take_it_are_kept_apart() -> None:
    lock = BriefLock()
    inside = 0
    most = 0
    total = 0

    def enter_often() -> None:
        nonlocal inside, most, total
        for _ in range(ROUNDS):
            with lock:
                inside += 1
                most = max(most, inside)
                total += 1
                inside -= 1

    with ThreadPoolExecutor(THREADS) as pool:
        for entered in [pool.submit(enter_often) for _ in range(THREADS)]:
            entered.result()

    assert (most, total) == (1, THREADS * ROUNDS)


def test_whoever_finds_it_taken_gets_it_when_it_is_given_back() -> None:
    lock = BriefLock()
    lock.acquire()
    asked = threading.Event()

    def ask() -> bool:
        refused = lock.acquire(blocking=False)
        asked.set()
        with lock:
            return refused

    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(ask)
        assert asked.wait(10)
        lock.release()

        assert refused.result(10) is False


def test_it_is_given_back_when_an_error_leaves_it() -> None:
    lock = BriefLock()
    try:
        with lock:
            raise LookupError
    except LookupError:
        pass

    assert lock.acquire(blocking=False)


def test_condition_waits_and_wakes_on_it() -> None:
    lock = BriefLock()
    condition = threading.Condition(lock)  # type: ignore[arg-type]  # it may be any lock
    ready = False

    def wait() -> bool:
        with lock:
            return condition.wait_for(lambda: ready, 10)

    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(wait)
        with lock:
            ready = True
            condition.notify_all()

        assert woken.result(10)
