"""The replies of several services to one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from kafka_patterns.client.pending import GatherSlot
from kafka_patterns.client.reading import ReplyReader
from kafka_patterns.client.reply import Reply
from kafka_patterns.errors import PayloadError, RpcException
from kafka_patterns.message import HeaderPairs
from kafka_patterns.synchronous import refuse_awaitable

__all__ = ["Gathered", "GatheredReply", "gather_replies"]


@attrs.frozen
class GatheredReply:
    """What one of those that answered said.

    :param value: the reply, read as ``returns=`` asks; ``None`` if there is an error.
    :param error: its error instead: :class:`~kafka_patterns.RpcException`, or
        :class:`~kafka_patterns.ReplyPayloadError` if the reply cannot be read.
    :param headers: of the reply, as they came.
    """

    value: Any
    error: Exception | None
    headers: HeaderPairs


@attrs.frozen
class Gathered:
    """What came of a ``gather``.

    :param replies: in the order in which they came, errors included.
    :param complete: whether all came that were asked for.
    """

    replies: tuple[GatheredReply, ...]
    complete: bool

    @property
    def timed_out(self) -> bool:
        """Whether the time was over first; then these are the replies so far."""
        return not self.complete

    @property
    def values(self) -> list[Any]:
        """The values of those that did not fail."""
        return [reply.value for reply in self.replies if reply.error is None]

    @property
    def errors(self) -> list[Exception]:
        """The errors of those that failed."""
        return [reply.error for reply in self.replies if reply.error is not None]


def gather_replies(
    slot: GatherSlot,
    reader: ReplyReader,
    until: float,
    enough: Callable[[list[GatheredReply]], object],
) -> Gathered:
    """Collect replies until there are *enough*, or until that monotonic time."""
    replies: list[GatheredReply] = []
    unfinished = 0
    while not (replies and bool(refuse_awaitable(enough(replies), "until"))):
        try:
            reply = slot.take(until)
        except TimeoutError:
            return Gathered(tuple(replies), complete=False)
        assert reply is not None  # no reply is the last one here
        if unfinished and (reply.is_bare_end or reply.empty):
            unfinished -= 1  # the end of an answer that has been counted
            continue
        unfinished += not reply.last
        replies.append(_read(reader, reply))
    return Gathered(tuple(replies), complete=True)


def _read(reader: ReplyReader, reply: Reply) -> GatheredReply:
    try:
        return GatheredReply(reader.read(reply), None, reply.record.headers)
    except (RpcException, PayloadError) as error:
        return GatheredReply(None, error, reply.record.headers)
