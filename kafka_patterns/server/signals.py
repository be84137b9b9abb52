"""The signals by which a process is told to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ExitCode", "StopSignals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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

    def forget(self) -> None:
        """No signal came yet."""
        self.came = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed signals inside, from now on; outside the main thread they are left alone."""
        self.forget()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Nothing but a flag: whatever takes a lock here may meet itself holding it.
        if self.came:
            os._exit(ExitCode.KILLED)
        self.came = True
