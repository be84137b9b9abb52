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

    __slots__ = ("_take", "release")

    def __init__(self) -> None:
        lock = threading.Lock()
        self._take = lock.acquire  # bound once: this is called several times for each message
        self.release = lock.release
        """Give it back."""

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002  as threading has it
        """Take it; ``False`` if it is taken and *blocking* is not wanted."""
        while not self._take(False):
            if not blocking:
                return False
            time.sleep(_MOMENT_SECONDS)
        return True

    def __enter__(self) -> None:
        if not self._take(False):
            self.acquire()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.release()
