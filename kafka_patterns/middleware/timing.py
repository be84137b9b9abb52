"""How long handlers take, by pattern."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kafka_patterns.middleware.chain import Middleware
from kafka_patterns.synchronous import refuse_async

__all__ = ["Timing", "TimingMiddleware"]


@attrs.frozen(kw_only=True)
class Timing:
    """The calls of the handlers of one pattern so far; durations in seconds.

    :param count: calls that ended.
    :param failed: how many of them raised.
    """

    count: int
    failed: int
    total: float
    shortest: float
    longest: float

    @property
    def mean(self) -> float:
        """Seconds per call."""
        return self.total / self.count


class TimingMiddleware(Middleware):
    """Measures each call of a handler.

    :param clock: seconds; any that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        refuse_async(clock, "clock")
        self._clock = clock
        self._lock = threading.Lock()  # guards the timings
        self._timings: dict[str, Timing] = {}

    def around(self, context: Any, call: Callable[[], Any]) -> Any:
        """Run *call*, and note how long it took."""
        begun = self._clock()
        failed = 1
        try:
            result = call()
            failed = 0
        finally:
            self._note(context.pattern, self._clock() - begun, failed)
        return result

    def _note(self, pattern: str, seconds: float, failed: int) -> None:
        with self._lock:
            before = self._timings.get(pattern)
            if before is None:
                before = Timing(count=0, failed=0, total=0.0, shortest=seconds, longest=seconds)
            self._timings[pattern] = Timing(
                count=before.count + 1,
                failed=before.failed + failed,
                total=before.total + seconds,
                shortest=min(before.shortest, seconds),
                longest=max(before.longest, seconds),
            )

    def snapshot(self) -> Mapping[str, Timing]:
        """The timings now, by pattern."""
        with self._lock:
            return dict(self._timings)
