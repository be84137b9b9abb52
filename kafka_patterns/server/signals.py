"""The signals by which a process is told to end.

A forked child inherits the handlers of its parent. One that only remembers signals would make the
child deaf: ``multiprocessing.Pool.terminate()`` would wait for it for ever. So the child gets back
the handlers that were there before.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["ExitCode", "StopSignals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_heeding: list[StopSignals] = []  # the innermost last; written by the main thread alone
_forking = threading.local()  # the signals that the forking thread had blocked before
_hooked = False


class ExitCode:
    """How a process ends that called :meth:`ServerKafka.run`."""

    OK = 0
    """It was told to stop, and drained as far as it got within ``run.stop_timeout_ms``."""
    FAILED = 1
    """It raised an error that it could not go on with; Python's own code for that."""
    KILLED = 130
    """A second signal ended it before it was drained."""


class StopSignals:
    """SIGTERM and SIGINT: the first is remembered, the second ends the process."""

    def __init__(self) -> None:
        self.came = False
        self._before: dict[int, Any] = {}

    def forget(self) -> None:
        """No signal came yet."""
        self.came = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed signals inside, from now on; outside the main thread they are left alone.

        A process that is forked inside has the handlers that were there before.
        """
        self.forget()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        _give_back_after_fork()
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        _heeding.append(self)
        try:
            yield
        finally:
            if self in _heeding:  # not in a child that the main thread forked inside
                _heeding.remove(self)
                self.give_back()
            self.forget()

    def give_back(self) -> None:
        """Let the handlers that were there before have the signals again."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            # What was not set by Python code cannot be set again by it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Nothing but a flag: whatever takes a lock here may meet itself holding it.
        if self.came:
            os._exit(ExitCode.KILLED)
        self.came = True


def _give_back_after_fork() -> None:
    global _hooked  # noqa: PLW0603  hooks of a process cannot be taken back
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(
            before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child
        )


def _before_fork() -> None:
    # A signal that reached the child before its handlers are back would be forgotten.
    _forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if _heeding else None


def _in_parent() -> None:
    if _forking.blocked is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.blocked)


def _in_child() -> None:
    while _heeding:
        _heeding.pop().give_back()
    _in_parent()
