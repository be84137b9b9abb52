"""How long the caller of a handler waits, for the requests that the handler sends itself."""

from __future__ import annotations

import time
from contextvars import ContextVar

import attrs

__all__ = ["CLOCK_SKEW_SECONDS", "Patience", "inherited_deadline", "patience_for"]

CLOCK_SKEW_SECONDS = 1.0
"""By so much a caller's clock may be behind ours before we take it to wait no longer."""

_deadline: ContextVar[float | None] = ContextVar("kafka_patterns_deadline", default=None)


class inherited_deadline:  # noqa: N801  used as a function; one that yields takes twice as long
    """Requests that are sent inside, in this thread, wait no longer than until *deadline*.

    :param deadline: wall clock, seconds since 1970; ``None`` for no bound.
    """

    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline

    def __enter__(self) -> None:
        self._token = _deadline.set(self._deadline)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        _deadline.reset(self._token)


@attrs.frozen
class Patience:
    """How long a request waits.

    :param seconds: from now on; not above 0 if nobody waits any more.
    :param deadline: wall clock, what the server is told.
    :param inherited: whether the caller of a handler waits no longer than that.
    """

    seconds: float
    deadline: float
    inherited: bool = False

    @classmethod
    def until(cls, timeout: float, deadline: float | None, now: float) -> Patience:
        """*timeout* seconds from wall clock *now*, but within an inherited *deadline*."""
        if deadline is None:
            return cls(timeout, now + timeout)
        left = deadline + CLOCK_SKEW_SECONDS - now
        return cls(min(timeout, left), min(now + timeout, deadline), inherited=left < timeout)

    def after(self, seconds: float) -> Patience:
        """What is left when *seconds* have passed."""
        return attrs.evolve(self, seconds=max(0.0, self.seconds - seconds))


def patience_for(timeout: float, *, inherit: bool) -> Patience:
    """*timeout* seconds, or what the caller of the running handler leaves of it.

    :param inherit: whether the latter counts.
    """
    return Patience.until(timeout, _deadline.get() if inherit else None, time.time())
