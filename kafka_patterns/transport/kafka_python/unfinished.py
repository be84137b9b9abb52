"""Messages on their way, and waiting until all of them have ended."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from functools import partial

from kafka_patterns.message import RecordMetadata

__all__ = ["Sending", "Unfinished"]


class Unfinished:
    """Knows which messages have not ended; any thread."""

    def __init__(self) -> None:
        # Single operations on it are atomic, and every message needs two.
        self._futures: set[Sending] = set()
        self._some_ended = threading.Condition()  # guards the one below
        self._waiting = 0  # threads that wait for an end

    def __len__(self) -> int:
        return len(self._futures)

    def begin(self) -> Sending:
        """A message is about to be sent: its future."""
        future = Sending(self)
        self._futures.add(future)
        return future

    def end(self, future: Sending) -> None:
        """It ended, and its callbacks have run."""
        self._futures.discard(future)
        # Read after the message is gone: who begins to wait later sees that it is.
        if self._waiting:
            with self._some_ended:
                self._some_ended.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until what has begun by now has ended; ``False`` if *timeout* passed first."""
        deadline = time.monotonic() + timeout
        with self._some_ended:
            self._waiting += 1
            try:
                return all(
                    self._some_ended.wait_for(
                        partial(self._has_ended, future), deadline - time.monotonic()
                    )
                    for future in self._futures.copy()
                )
            finally:
                self._waiting -= 1

    def _has_ended(self, future: Sending) -> bool:
        return future not in self._futures


class Sending(Future[RecordMetadata]):
    """The future of one message, which has not ended before its callbacks have run.

    The base class wakes who waits for the result first and calls them after that; what they
    note down, as that a request was answered, would be missing in the commit that follows.
    """

    def __init__(self, unfinished: Unfinished) -> None:
        super().__init__()
        self._unfinished = unfinished

    def set_result(self, result: RecordMetadata) -> None:
        """End well.

        :raises InvalidStateError: if it has ended.
        """
        super().set_result(result)
        self._unfinished.end(self)

    def set_exception(self, exception: BaseException | None) -> None:
        """End with *exception*.

        :raises InvalidStateError: if it has ended.
        """
        super().set_exception(exception)
        self._unfinished.end(self)

    def cancel(self) -> bool:
        """End without an outcome, as the user wishes; ``False`` if it has ended."""
        cancelled = super().cancel()
        if cancelled:
            self._unfinished.end(self)
        return cancelled
