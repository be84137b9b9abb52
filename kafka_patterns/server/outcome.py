"""What became of a message."""

from __future__ import annotations

from collections.abc import Callable

import attrs

__all__ = ["FINISHED", "Deferred", "Finished", "Outcome", "RetryLater", "Stop", "worse"]


@attrs.frozen
class Finished:
    """The handlers are through; if a reply is under way, it finishes the record later."""

    reply_under_way: bool = False


FINISHED = Finished()
"""What most messages come to."""


@attrs.frozen
class RetryLater:
    """Deliver the record again, in so many seconds."""

    error: BaseException
    seconds: float


@attrs.frozen
class Stop:
    """Stop the server: ``run.on_poison`` is ``stop``; until then the record waits."""

    error: BaseException
    seconds: float


@attrs.frozen
class Deferred:
    """A handler finishes the record later.

    :param when_settled: calls its argument with the outcome once it is known, in any thread.
    """

    when_settled: Callable[[Callable[[Outcome], None]], None]

    def then(self, change: Callable[[Outcome], Outcome]) -> Deferred:
        """The same with what *change* makes of the outcome."""
        return Deferred(
            lambda listener: self.when_settled(lambda settled: listener(change(settled)))
        )


def worse(one: Outcome, other: Outcome) -> Outcome:
    """What becomes of a record that two handlers ended differently: no try comes too early."""
    if isinstance(one, Stop) or isinstance(other, Finished):
        return one
    if isinstance(one, RetryLater) and isinstance(other, RetryLater):
        return max(one, other, key=lambda outcome: outcome.seconds)
    return other


Outcome = Finished | RetryLater | Stop | Deferred
