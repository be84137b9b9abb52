"""One thread per client or server on which callbacks of users run, never an I/O thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context

__all__ = ["CallbackThread"]

logger = logging.getLogger("kafka_patterns.callbacks")

_IDLE_SECONDS = 1.0


class CallbackThread:
    """Runs functions one after the other; the thread exists only while there is work.

    :param name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()  # guards the two below
        self._queue: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, function: Callable[[], object]) -> None:
        """From any thread: run *function* later; what it raises is logged."""
        with self._condition:
            self._queue.append(function)
            if self._thread is None:
                self._start_thread()
            else:
                self._condition.notify()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._queue.clear()  # the interpreter exits: no thread can be started any more
        else:
            self._thread = thread

    def close(self, timeout: float) -> None:
        """Run what is queued, then end; waits at most *timeout* seconds."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def reopen(self) -> None:
        """Stay alive again between callbacks."""
        with self._condition:
            self._closed = False

    def _run(self) -> None:
        while True:
            try:
                function = self._next()
                if function is None:
                    return
                copy_context().run(function)  # what one sets must not be there for the next
            except BaseException:  # whatever one ends with, the next one is called
                logger.exception("a callback failed")

    def _next(self) -> Callable[[], object] | None:
        """What is to run next; ``None`` when there has been nothing for a while."""
        with self._condition:
            if not self._queue and not self._closed:
                self._condition.wait(_IDLE_SECONDS)
            if not self._queue:
                self._thread = None
                return None
            return self._queue.popleft()
