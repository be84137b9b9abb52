"""One record on its way through the server, and what became of it."""

from __future__ import annotations

from typing import Any

import attrs

from kafka_patterns.message import Record
from kafka_patterns.server.ledger import AssignedPartition
from kafka_patterns.server.routes import Route

__all__ = ["Finished", "Outcome", "Retry", "Stop", "WorkItem"]


@attrs.define(eq=False)
class WorkItem:
    """A record, the epoch it belongs to, and how often it was tried.

    :param handled_by: the event handlers that are through with it; a retry leaves them out.
    """

    record: Record
    assigned: AssignedPartition
    route: Route
    attempt: int = 0
    handled_by: set[Any] = attrs.field(factory=set)
    committed_by_user: bool = False


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


Outcome = Finished | Retry | Stop
