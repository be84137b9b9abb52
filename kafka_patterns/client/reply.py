"""Replies as their headers tell, and the order of those that are numbered. Pure."""

from __future__ import annotations

from typing import Any

import attrs

from kafka_patterns.message import Record

__all__ = ["Reply", "StreamOrder"]


@attrs.frozen
class Reply:
    """One record that answers a request, as far as its headers tell.

    :param error: the remote error object or text; ``None`` if it is no error.
    :param last: nothing follows.
    :param empty: it ends the request without a value: an error header that says nothing.
    :param sequence: which item of a stream it is, from 0 on; ``None`` if the server does not say.
    """

    record: Record
    error: Any = None
    last: bool = False
    empty: bool = False
    sequence: int | None = None

    @property
    def is_bare_end(self) -> bool:
        """Whether it only ends a stream that had values before."""
        return self.last and self.error is None and self.record.value is None


class StreamOrder:
    """Puts the numbered items of a stream in order, each once; the others pass as they come.

    A server that is given a request again numbers its items from 0 again, and an item whose
    sending failed at first may come after its successors.
    """

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Reply] = {}

    @property
    def waiting(self) -> int:
        """How many came before their turn."""
        return len(self._early)

    def accept(self, reply: Reply) -> list[Reply] | None:
        """What may be read now, up to the last item; ``None`` if *reply* came before."""
        if reply.sequence is None:
            return [reply]
        if reply.sequence < self._next:
            return [_without_value(reply)] if reply.last else None
        if reply.sequence in self._early and not reply.last:
            return None
        self._early[reply.sequence] = reply
        ready: list[Reply] = []
        while self._next in self._early and not (ready and ready[-1].last):
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready


def _without_value(reply: Reply) -> Reply:
    """The end that a repeated item is, beside the value that was read before."""
    return attrs.evolve(reply, record=reply.record._replace(value=None))
