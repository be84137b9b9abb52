"""Counting what happens, from any thread."""

from __future__ import annotations

from collections import Counter

from kafka_patterns.consuming.brief_lock import BriefLock

__all__ = ["Counters"]


class Counters:
    """Plain counters by name; a name appears with its first count."""

    def __init__(self) -> None:
        self._lock = BriefLock()  # guards the counts
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count *count* more of *name*."""
        with self._lock:
            self._counts[name] += count

    def snapshot(self) -> dict[str, int]:
        """A copy of all counts."""
        with self._lock:
            return dict(self._counts)
