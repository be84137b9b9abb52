"""Signals are heeded by the process that runs a server, not by those it forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from kafka_patterns.server.signals import StopSignals

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    # Python 3.12 warns of what is tested here: threads that a fork leaves behind.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

HANDLERS: list[Any] = [signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def of_the_user(_number: int, _frame: FrameType | None) -> None:
    """A handler that a user's program set before."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def code_of_child(work: Callable[[], object], *, thread: bool = False) -> int:
    """Fork, in a thread of its own if wanted; the child ends with 0 if *work* is true there."""
    codes: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            code = 1
            try:
                code = 0 if work() else 2
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    if thread:
        forking = threading.Thread(target=fork)
        forking.start()
        forking.join(60)
    else:
        fork()
    return codes[0]


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
@pytest.mark.parametrize("before", [*HANDLERS, of_the_user])
def test_forked_child_has_the_earlier_handlers(before: Any, *, thread: bool) -> None:
    for number in SIGNALS:
        signal.signal(number, before)
    signals = StopSignals()
    with signals.heeded():
        code = code_of_child(
            lambda: all(signal.getsignal(number) is before for number in SIGNALS), thread=thread
        )

        assert code == 0
        assert all(signal.getsignal(number) == signals._on_signal for number in SIGNALS)
    assert all(signal.getsignal(number) is before for number in SIGNALS)


def test_child_of_a_child_has_them_too() -> None:
    signal.signal(signal.SIGTERM, of_the_user)
    with StopSignals().heeded():
        grandchild = lambda: signal.getsignal(signal.SIGTERM) is of_the_user  # noqa: E731
        code = code_of_child(lambda: code_of_child(grandchild) == 0)

    assert code == 0


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_signal_ends_a_child_at_once(*, thread: bool) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signals = StopSignals()
    with signals.heeded():
        code = code_of_child(lambda: os.kill(os.getpid(), signal.SIGTERM), thread=thread)

    assert code == -signal.SIGTERM
    assert not signals.came


def test_no_signal_is_blocked_after_a_fork() -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with StopSignals().heeded():
        code = code_of_child(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked)

        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked
    assert code == 0


def test_signals_of_the_parent_are_remembered_after_a_fork() -> None:
    signals = StopSignals()
    with signals.heeded():
        assert code_of_child(lambda: True) == 0

        os.kill(os.getpid(), signal.SIGTERM)

        assert signals.came


def test_child_may_heed_signals_itself() -> None:
    def heed() -> bool:
        signals = StopSignals()
        with signals.heeded():
            os.kill(os.getpid(), signal.SIGTERM)
            return signals.came

    with StopSignals().heeded():
        assert code_of_child(heed) == 0


def test_child_forked_inside_leaves_with_the_earlier_handlers() -> None:
    signal.signal(signal.SIGTERM, of_the_user)
    pid = 0
    with StopSignals().heeded():
        pid = os.fork()
    if pid == 0:
        os._exit(0 if signal.getsignal(signal.SIGTERM) is of_the_user else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found: list[Any] = []

    def heed() -> None:
        with StopSignals().heeded():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=heed)
    thread.start()
    thread.join(60)

    assert found == [signal.getsignal(signal.SIGTERM)]
