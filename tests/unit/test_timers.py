"""Timers run functions at their time, in a thread that exists only while some wait."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_patterns.consuming.timers import Timer, Timers
from tests.support.waiting import eventually

FAR = 3600.0


@pytest.fixture
def timers() -> Iterator[Timers]:
    made = Timers("test-timers")
    yield made
    made.close(20)


def timer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "test-timers"]


def test_functions_run_in_the_order_of_their_times(timers) -> None:
    seen: list[str] = []
    now = time.monotonic()

    for name, delay in (("c", 0.9), ("a", 0.3), ("b", 0.6)):
        timers.at(now + delay, lambda name=name: seen.append(name))

    eventually(lambda: len(seen) == 3)
    assert seen == ["a", "b", "c"]


def test_functions_of_the_same_time_run_in_the_order_given(timers) -> None:
    seen: list[int] = []
    due = time.monotonic() + 0.02

    for number in range(20):
        timers.at(due, lambda number=number: seen.append(number))

    eventually(lambda: len(seen) == 20)
    assert seen == list(range(20))


@pytest.mark.parametrize("never", [math.inf, 1e18])
def test_timer_that_is_never_due_costs_nothing(timers, caplog, never: float) -> None:
    timers.after(never, lambda: None)
    seen: list[str] = []
    timers.after(0.05, lambda: seen.append("due"))

    eventually(lambda: seen == ["due"])
    assert "a timer failed" not in caplog.text


def test_function_does_not_run_before_its_time(timers) -> None:
    ran_at: list[float] = []
    due = time.monotonic() + 0.05

    timers.at(due, lambda: ran_at.append(time.monotonic()))

    eventually(lambda: ran_at)
    assert ran_at[0] >= due


def test_earlier_timer_is_not_kept_waiting_by_a_later_one(timers) -> None:
    ran = threading.Event()
    timers.at(time.monotonic() + FAR, lambda: None)

    timers.at(time.monotonic(), ran.set)

    assert ran.wait(20)


def test_cancelled_timer_does_not_run(timers) -> None:
    seen: list[str] = []
    due = time.monotonic() + 0.5
    cancelled = timers.at(due, lambda: seen.append("cancelled"))
    timers.at(due + 0.01, lambda: seen.append("after"))

    cancelled.cancel()

    eventually(lambda: "after" in seen)
    assert seen == ["after"]


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_failing_function_is_logged_and_the_next_one_runs(timers, caplog, kind) -> None:
    ran = threading.Event()

    def fail() -> None:
        raise kind("broken timer")

    timers.at(time.monotonic(), fail)
    timers.at(time.monotonic(), ran.set)

    assert ran.wait(20)
    assert "broken timer" in caplog.text


def test_timer_may_set_another(timers) -> None:
    ran = threading.Event()

    timers.at(time.monotonic(), lambda: timers.at(time.monotonic(), ran.set))

    assert ran.wait(20)


def test_cancelling_again_or_too_late_changes_nothing(timers) -> None:
    ran, again = threading.Event(), threading.Event()
    timer = timers.at(time.monotonic(), ran.set)
    assert ran.wait(20)

    timer.cancel()
    timer.cancel()

    timers.at(time.monotonic(), again.set)
    assert again.wait(20)


def test_cancelled_timers_do_not_pile_up(timers) -> None:
    due = time.monotonic() + FAR
    kept = timers.at(due, lambda: None)

    for _ in range(10_000):
        timers.at(due, lambda: None).cancel()

    assert len(timers._heap) < 200
    kept.cancel()


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["set", "cancel", "close"]), st.integers(0, 9))),
)
def test_last_timer_runs_whatever_was_set_cancelled_and_closed_before(steps) -> None:
    timers = Timers("test-timers")
    made: list[Timer] = []
    for action, number in steps:
        if action == "set":
            made.append(timers.at(time.monotonic() + FAR, lambda: None))
        elif action == "cancel" and made:
            made[number % len(made)].cancel()
        elif action == "close":
            timers.close(20)
    first, second = threading.Event(), threading.Event()

    timers.at(time.monotonic(), first.set)
    assert first.wait(20)
    timers.at(time.monotonic(), second.set)

    assert second.wait(20)
    timers.close(20)


def test_no_thread_before_the_first_timer_and_none_long_after_the_last(timers) -> None:
    assert timer_threads() == []

    timers.at(time.monotonic(), lambda: None)
    assert timer_threads() == ["test-timers"]

    eventually(lambda: timer_threads() == [])
    ran = threading.Event()
    timers.at(time.monotonic(), ran.set)
    assert ran.wait(20)


def test_close_drops_what_waits_and_ends_the_thread(timers) -> None:
    seen: list[int] = []
    timers.at(time.monotonic() + FAR, lambda: seen.append(1))

    timers.close(20)

    assert timer_threads() == []
    assert seen == []


def test_timer_after_close_runs(timers) -> None:
    timers.close(20)
    ran = threading.Event()

    timers.at(time.monotonic(), ran.set)

    assert ran.wait(20)


def test_close_from_a_timer_does_not_wait_for_itself(timers) -> None:
    closed = threading.Event()

    def close() -> None:
        timers.close(30)
        closed.set()

    timers.at(time.monotonic(), close)

    assert closed.wait(20)
