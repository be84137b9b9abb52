"""Futures whose callbacks run on the client's callback thread, never on an I/O thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from kafka_patterns.message import RecordMetadata
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = ["CallbackFuture", "EmitFuture"]

T = TypeVar("T")


class CallbackFuture(Future[T]):
    """A future that a caller may wait for, hear of, and cancel at any time before its end.

    :param submit: runs a function on the callback thread.
    """

    def __init__(self, submit: Callable[[Callable[[], object]], None]) -> None:
        super().__init__()
        self._submit = submit
        self._cancelling = threading.RLock()  # held while the state goes on after a cancel

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call *fn* with this future on the client's callback thread once it is done.

        :raises ConfigurationError: if it is asynchronous.
        """
        refuse_async(fn, "callback")
        submit = self._submit  # not through this object, which would keep itself alive
        super().add_done_callback(
            lambda future: submit(lambda: refuse_awaitable(fn(future), "a callback"))
        )

    def cancel(self) -> bool:
        """Wait for no end any more; ``False`` if it has ended."""
        with self._cancelling:
            if self.cancelled():
                return True
            cancelled = super().cancel()
            if cancelled:
                # concurrent.futures.wait() hears of a cancelled future only through this.
                self.set_running_or_notify_cancel()
            return cancelled

    def end_with(self, result: T) -> None:
        """End with *result*, unless it has ended or was cancelled."""
        try:
            self.set_result(result)
        except InvalidStateError:
            pass

    def fail_with(self, error: BaseException) -> None:
        """End with *error*, unless it has ended or was cancelled."""
        try:
            self.set_exception(error)
        except InvalidStateError:
            pass


class EmitFuture(CallbackFuture[RecordMetadata]):
    """A future of ``emit_future``."""

    def follow(self, sent: Future[Any]) -> None:
        """End as *sent* ended."""
        error = sent.exception()
        if error is None:
            self.end_with(sent.result())
        else:
            self.fail_with(error)
