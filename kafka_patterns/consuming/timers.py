"""A thread that runs short functions at their time."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Timer", "Timers"]

logger = logging.getLogger("kafka_patterns.timers")

_IDLE_SECONDS = 1.0


class Timer:
    """A function that will run once, unless it is cancelled before."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], object]) -> None:
        self._function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Forget the function; it is dropped from the queue when its time comes."""
        self._function = None

    def fire(self) -> None:
        """Run the function, if it was not cancelled; what it raises is logged."""
        function, self._function = self._function, None
        if function is None:
            return
        try:
            function()
        except Exception:
            logger.exception("a timer failed")


class Timers:
    """Runs functions at monotonic times; the thread exists only while some are waiting.

    :param name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()  # guards the three below
        self._heap: list[tuple[float, int, Timer]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._order = itertools.count()

    def at(self, due: float, function: Callable[[], object]) -> Timer:
        """From any thread: run *function*, which must not block, at monotonic time *due*."""
        timer = Timer(function)
        with self._condition:
            self._closed = False
            heapq.heappush(self._heap, (due, next(self._order), timer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif self._heap[0][2] is timer:
                self._condition.notify()
        return timer

    def close(self, timeout: float) -> None:
        """Drop what waits and end; waits at most *timeout* seconds."""
        with self._condition:
            self._closed = True
            self._heap.clear()
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            timer = self._next()
            if timer is None:
                return
            timer.fire()

    def _next(self) -> Timer | None:
        """Wait for the next due timer; ``None`` when there has been none for a while."""
        idle_since = time.monotonic()
        with self._condition:
            while True:
                now = time.monotonic()
                if self._heap and self._heap[0][0] <= now:
                    return heapq.heappop(self._heap)[2]
                idle = not self._heap and now - idle_since >= _IDLE_SECONDS
                if self._closed or idle:
                    self._thread = None
                    return None
                self._condition.wait(self._heap[0][0] - now if self._heap else _IDLE_SECONDS)
