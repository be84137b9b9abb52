"""What became of a message."""

from __future__ import annotations

from collections.abc import Callable

import attrs

__all__ = ["Deferred", "Finished", "Outcome", "Retry", "Stop"]


@attrs.frozen
class Finished:
    """The handlers are through; if a reply is under way, it finishes the record later."""

    reply_under_way: bool = False


@attrs.frozen
class Retry:
    """Deliver the record again, after the backoff."""

    error: BaseException


@attrs.frozen
class Stop:
    """Stop the server: ``run.on_poison`` is ``stop``."""

    error: BaseException


@attrs.frozen
class Deferred:
    """A handler finishes the record later.

    :param when_settled: calls its argument with the outcome once it is known, in any thread.
    """

    when_settled: Callable[[Callable[[Outcome], None]], None]


Outcome = Finished | Retry | Stop | Deferred
