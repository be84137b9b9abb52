"""Callbacks run one after the other, on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kafka_patterns.consuming.callbacks import CallbackThread
from tests.support.waiting import eventually


@pytest.fixture
def callbacks() -> Iterator[CallbackThread]:
    made = CallbackThread("test-callbacks")
    yield made
    made.close(20)


def callback_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "test-callbacks"]


def test_functions_run_in_order_on_one_thread(callbacks) -> None:
    seen: list[tuple[int, str]] = []

    for number in range(100):
        callbacks.submit(
            lambda number=number: seen.append((number, threading.current_thread().name))
        )

    eventually(lambda: len(seen) == 100)
    assert seen == [(number, "test-callbacks") for number in range(100)]


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_failing_callback_is_logged_and_the_next_one_runs(callbacks, caplog, kind) -> None:
    ran = threading.Event()

    def fail() -> None:
        raise kind("broken callback")

    callbacks.submit(fail)
    callbacks.submit(ran.set)

    assert ran.wait(20)
    assert "broken callback" in caplog.text


def test_thread_exists_only_while_there_is_work(callbacks) -> None:
    assert callback_threads() == []

    callbacks.submit(lambda: None)
    eventually(lambda: callback_threads() == [])

    ran = threading.Event()
    callbacks.submit(ran.set)
    assert ran.wait(20)


def test_close_runs_what_is_queued(callbacks) -> None:
    go_on = threading.Event()
    seen: list[int] = []
    callbacks.submit(go_on.wait)
    for number in range(10):
        callbacks.submit(lambda number=number: seen.append(number))
    go_on.set()

    callbacks.close(20)

    assert seen == list(range(10))
    assert callback_threads() == []


def test_close_does_not_wait_longer_than_told(callbacks) -> None:
    go_on = threading.Event()
    callbacks.submit(go_on.wait)

    callbacks.close(0.01)

    assert callback_threads() == ["test-callbacks"]
    go_on.set()


def test_close_from_a_callback_does_not_wait_for_itself(callbacks) -> None:
    closed = threading.Event()

    def close() -> None:
        callbacks.close(30)
        closed.set()

    callbacks.submit(close)

    assert closed.wait(20)


def test_callback_after_close_still_runs(callbacks) -> None:
    callbacks.close(20)
    ran = threading.Event()

    callbacks.submit(ran.set)

    assert ran.wait(20)


def test_reopened_thread_outlives_a_callback(callbacks) -> None:
    callbacks.close(20)
    callbacks.reopen()
    threads: list[threading.Thread] = []

    callbacks.submit(lambda: threads.append(threading.current_thread()))
    eventually(lambda: len(threads) == 1)
    callbacks.submit(lambda: threads.append(threading.current_thread()))

    eventually(lambda: len(threads) == 2)
    assert threads[0] is threads[1]
