"""Finishing a message later, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from kafka_patterns.errors import KafkaPatternsError
from kafka_patterns.server.outcome import Deferred, Outcome, worse
from kafka_patterns.synchronous import refuse_awaitable

__all__ = ["Acknowledgement", "as_deferred", "join_outcomes"]


class Acknowledgement:
    """What ``KafkaContext.defer`` returns: the message is finished when one of these is called.

    :param conclude: given what the handler would have returned or raised, replies and says
        what becomes of the message.
    """

    def __init__(self, conclude: Callable[[Callable[[], Any]], Outcome]) -> None:
        self._conclude = conclude
        self._lock = threading.Lock()  # guards the three below
        self._used = False
        self._outcome: Outcome | None = None
        self._listener: Callable[[Outcome], None] | None = None

    def done(self, reply: Any = None) -> None:
        """The work is done. From any thread.

        :param reply: of a request: what the handler would have returned.
        :raises KafkaPatternsError: if it was acknowledged before.
        """
        self._settle(lambda: refuse_awaitable(reply, "whoever called done()"))

    def failed(self, exception: BaseException) -> None:
        """The work failed, as if the handler had raised *exception*. From any thread.

        :raises KafkaPatternsError: if it was acknowledged before.
        """

        def fail() -> None:
            raise exception

        self._settle(fail)

    def void(self) -> bool:
        """The handler raised after all: nobody may use this; ``False`` if somebody has."""
        with self._lock:
            unused, self._used = not self._used, True
        return unused

    def _settle(self, produce: Callable[[], Any]) -> None:
        if not self.void():
            raise KafkaPatternsError("this message was acknowledged before, or its handler raised")
        outcome = self._conclude(produce)
        with self._lock:
            self._outcome = outcome
            listener = self._listener
        if listener is not None:
            listener(outcome)

    def when_settled(self, listener: Callable[[Outcome], None]) -> None:
        """Call *listener* with the outcome, now or later, in whatever thread settles it."""
        with self._lock:
            self._listener = listener
            outcome = self._outcome
        if outcome is not None:
            listener(outcome)


def as_deferred(outcome: Outcome) -> Deferred:
    """An outcome that is known already, in the form of one that is not."""
    if isinstance(outcome, Deferred):
        return outcome
    return Deferred(lambda listener: listener(outcome))


def join_outcomes(waiting: Sequence[Deferred], so_far: Outcome) -> Deferred:
    """An outcome that is known once all of *waiting* are settled.

    :param so_far: the outcome of the handlers that are through.
    """
    lock = threading.Lock()
    left = len(waiting)
    worst = so_far

    def when_settled(listener: Callable[[Outcome], None]) -> None:
        def settled(outcome: Outcome) -> None:
            nonlocal left, worst
            if isinstance(outcome, Deferred):
                outcome.when_settled(settled)
                return
            with lock:
                left -= 1
                worst = worse(worst, outcome)
                last = left == 0
            if last:
                listener(worst)

        for deferred in waiting:
            deferred.when_settled(settled)

    return Deferred(when_settled)
