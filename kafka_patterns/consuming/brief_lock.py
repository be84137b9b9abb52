"""A lock for moments, which many threads want for each message."""

from __future__ import annotations

import threading
import time

__all__ = ["BriefLock"]

_MOMENT_SECONDS = 1e-6


class BriefLock:
    """A lock that is only ever taken by a thread that runs.

    ``threading.Lock`` is handed to the one that waits for it, which then waits for the
    interpreter while the one that runs comes to the lock again and waits in its turn: once
    that has begun, each message costs switches of threads, and it does not end by itself. Here
    who finds it taken, which is rare, sleeps for a moment and tries again.

    Nobody may block while holding it, and nobody has a claim to be the next.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002  as threading has it
        """Take it; ``False`` if it is taken and *blocking* is not wanted."""
        while not self._lock.acquire(blocking=False):
            if not blocking:
                return False
            time.sleep(_MOMENT_SECONDS)
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
