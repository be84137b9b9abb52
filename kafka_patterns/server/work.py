"""One record on its way through the server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from kafka_patterns.failures.letter import Letter
from kafka_patterns.message import Record
from kafka_patterns.server.ledger import AssignedPartition
from kafka_patterns.server.routes import Route

__all__ = ["WorkItem"]

# Few items have any: what thousands of others need not, the garbage collector need not look at.
_NO_LETTERS: Mapping[Any, Letter] = MappingProxyType({})


@attrs.define(eq=False)
class WorkItem:
    """A record, the epoch it belongs to, and how often it was tried.

    :param lets_others_pass: whether others of its partition go on while it is tried again.
    :param first_tried: when its first try began, in monotonic seconds.
    :param letters: of the handlers that gave it up, not acknowledged yet.
    :param given_up: whether it ended, for one handler, without that handler's return: who commits
        by hand does not commit it then.
    :param ends_left: how many of its ends, such as a reply and a dead letter, are to come.
    :param asides: how many reasons there are to hold it aside: its lane, its reply.
    :param lost_tries: how many of its tries certainly ended with their process.
    :param unfinished: whether one of its ends came to nothing, so that it must come again.
    :param handled_by: the event handlers that are through with it; a retry leaves them out.
    """

    record: Record
    assigned: AssignedPartition
    route: Route
    lets_others_pass: bool = False
    attempt: int = 0
    arrived: float = attrs.field(factory=time.monotonic)
    first_tried: float | None = None
    handled_by: tuple[Any, ...] = ()
    letters: Mapping[Any, Letter] = _NO_LETTERS
    given_up: bool = False
    ends_left: int = 1
    unfinished: bool = False
    asides: int = 0
    lost_tries: int = 0

    def put_letter(self, handler: Any, letter: Letter) -> None:
        """*handler* gave it up."""
        with self.assigned.handlers_lock:
            self.letters = {**self.letters, handler: letter}

    def drop_letter(self, handler: Any) -> None:
        """What *handler* gave up is acknowledged."""
        with self.assigned.handlers_lock:
            self.letters = {h: letter for h, letter in self.letters.items() if h != handler}

    def went_through(self, handler: Any) -> None:
        """*handler* is through with it."""
        with self.assigned.handlers_lock:
            self.handled_by = (*self.handled_by, handler)
