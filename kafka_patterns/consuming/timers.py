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
_LONGEST_WAIT_SECONDS = 3600.0
"""A condition takes no more than some years, and some timers are never due."""
_SPARE_ENTRIES = 64


class Timer:
    """A function that will run once, unless it is cancelled before."""

    __slots__ = ("_cancelled", "function")

    def __init__(self, function: Callable[[], object], cancelled: Callable[[Timer], None]) -> None:
        self.function: Callable[[], object] | None = function
        self._cancelled = cancelled

    def cancel(self) -> None:
        """From any thread: forget the function, unless it has run."""
        self._cancelled(self)


class Timers:
    """Runs functions at monotonic times; the thread exists only while some are waiting.

    :param name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()  # guards everything below, and the timers
        self._heap: list[tuple[float, int, Timer]] = []
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._order = itertools.count()

    def at(self, due: float, function: Callable[[], object]) -> Timer:
        """From any thread: run *function*, which must not block, at monotonic time *due*."""
        timer = Timer(function, self._cancel)
        with self._condition:
            self._closed = False
            heapq.heappush(self._heap, (due, next(self._order), timer))
            self._waiting += 1
            if self._thread is None:
                self._start_thread()
            elif self._heap[0][2] is timer:
                self._condition.notify()
        return timer

    def after(self, delay: float, function: Callable[[], object]) -> Timer:
        """From any thread: run *function*, which must not block, in *delay* seconds."""
        return self.at(time.monotonic() + delay, function)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._clear()  # the interpreter exits: no thread can be started any more
        else:
            self._thread = thread

    def _cancel(self, timer: Timer) -> None:
        with self._condition:
            if timer.function is None:
                return
            timer.function = None
            self._waiting -= 1
            # Most timers are deadlines that are met: what is cancelled must not pile up.
            if len(self._heap) > 2 * self._waiting + _SPARE_ENTRIES:
                self._heap = [entry for entry in self._heap if entry[2].function is not None]
                heapq.heapify(self._heap)
            if not self._waiting:
                self._condition.notify()

    def close(self, timeout: float) -> None:
        """Drop what waits and end; waits at most *timeout* seconds."""
        with self._condition:
            self._closed = True
            self._clear()
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _clear(self) -> None:
        for _, _, timer in self._heap:
            timer.function = None  # it counts no longer: a late cancel must find nothing
        self._heap.clear()
        self._waiting = 0

    def _run(self) -> None:
        while True:
            try:
                function = self._next()
                if function is None:
                    return
                function()
            except BaseException:  # whatever one ends with, the others have their time
                logger.exception("a timer failed")

    def _next(self) -> Callable[[], object] | None:
        """Wait for the next due function; ``None`` when there has been none for a while."""
        idle_since: float | None = None
        with self._condition:
            while True:
                now = time.monotonic()
                function = self._pop_due(now)
                if function is not None:
                    return function
                if self._waiting:
                    idle_since = None
                elif idle_since is None:
                    idle_since = now
                if self._closed or (idle_since is not None and now - idle_since >= _IDLE_SECONDS):
                    self._clear()
                    self._thread = None
                    return None
                wait = self._heap[0][0] - now if self._waiting else _IDLE_SECONDS
                self._condition.wait(min(wait, _LONGEST_WAIT_SECONDS))

    def _pop_due(self, now: float) -> Callable[[], object] | None:
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].function is None):
            timer = heapq.heappop(self._heap)[2]
            function, timer.function = timer.function, None
            if function is not None:
                self._waiting -= 1
                return function
        return None
