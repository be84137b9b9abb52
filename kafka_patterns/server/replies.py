"""The replies to one request: in which order, and when they finish it.

A worker hands a reply to the producer and goes on; the request is finished when the broker has
acknowledged its last reply.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import PayloadError
from kafka_patterns.message import EncodedMessage
from kafka_patterns.server.replier import Replier, disposed, with_header
from kafka_patterns.server.reply_address import ReplyAddress

__all__ = ["NoReplies", "Replies"]

logger = logging.getLogger("kafka_patterns.replies")

_HOLD_SECONDS = 0.01


class NoReplies:
    """In the place of replies that may not be sent: the handler runs, nobody hears of it."""

    has_values = False

    def __init__(self, finished: Callable[[], None]) -> None:
        self._finished = finished

    def value(self, payload: Any) -> None:
        """Drop one of several replies."""

    def only(self, payload: Any) -> None:
        """Drop the reply, and finish."""
        self._finished()

    def end(self) -> None:
        """Finish."""
        self._finished()

    def error(self, error: Any, *, is_last: bool = True) -> None:
        """Drop the error, and finish."""
        self._finished()


class Replies:
    """All replies to one request, in order; ends the request when all are settled.

    A value is held back for a moment: if the handler ends meanwhile, the value itself is marked
    as the last one, as NestJS does; else it goes out, and an empty last reply follows later.

    What a generator gives is numbered for callers of our own kind: a request that is delivered
    again gives it again, and a reply that is sent again may come after later ones.

    :param ended: told once all are settled, whether none was abandoned on its way.
    :param is_wanted: whether a reply that failed on its way is worth sending again.
    :param waits: told, once, if a reply cannot go yet.
    """

    def __init__(
        self,
        replier: Replier,
        address: ReplyAddress,
        pattern: str,
        timers: Timers,
        *,
        ended: Callable[[bool], None],
        is_wanted: Callable[[], bool],
        waits: Callable[[], None],
    ) -> None:
        self._replier = replier
        self._address = address
        self._pattern = pattern
        self._timers = timers
        self._ended = ended
        self._is_wanted = is_wanted
        self._tell_waits = waits
        # Guards the five below; reentrant, for a send can fail, and so settle, at once.
        self._lock = threading.RLock()
        self._held: EncodedMessage | None = None
        self._under_way = 1  # the end of the handler
        self._delivered = True  # none was abandoned
        self._told_waits = False
        self._numbers = itertools.count()
        self.has_values = False

    def value(self, payload: Any) -> None:
        """One more reply.

        :raises PayloadError: if *payload* cannot be written.
        """
        message = self._numbered(self._replier.value(payload, self._address, self._pattern))
        with self._lock:
            before, self._held = self._held, message
            self._send_if_any(before)
        self.has_values = True
        self._timers.at(time.monotonic() + _HOLD_SECONDS, lambda: self._flush(message))

    def _numbered(self, message: EncodedMessage) -> EncodedMessage:
        if not self._address.numbered:
            return message
        number = b"%d" % next(self._numbers)
        return attrs.evolve(message, headers=with_header(message.headers, headers.SEQUENCE, number))

    def _numbered_end(self, message: EncodedMessage) -> EncodedMessage:
        """What ends the request has a number only if there were values before it."""
        return self._numbered(message) if self.has_values else message

    def only(self, payload: Any) -> None:
        """The one and last reply.

        :raises PayloadError: if *payload* cannot be written.
        """
        message = self._numbered_end(self._replier.value(payload, self._address, self._pattern))
        self._send_held()
        self._send(disposed(message))

    def end(self) -> None:
        """No reply follows."""
        with self._lock:
            last, self._held = self._held, None
        if last is None or last.value is None:
            # A null that is the last of several is sent apart: marked as last it would look
            # like the bare end of the stream.
            with self._lock:
                self._send_if_any(last)
            last = self._numbered_end(self._replier.error(None, self._address))
        self._send(disposed(last))

    def error(self, error: Any, *, is_last: bool = True) -> None:
        """End with *error*."""
        self._send_held()
        try:
            message = self._replier.error(error, self._address)
        except PayloadError:
            logger.exception("an error reply could not be written")
            fallback = {"status": "error", "message": headers.INTERNAL_SERVER_ERROR}
            message = self._replier.error(fallback, self._address)
        message = self._numbered_end(message)
        self._send(disposed(message) if is_last else message)

    def _send_held(self) -> None:
        with self._lock:
            held, self._held = self._held, None
            self._send_if_any(held)

    def _flush(self, message: EncodedMessage) -> None:
        with self._lock:
            if self._held is message:
                self._held = None
                self._send_if_any(message)

    def _send_if_any(self, message: EncodedMessage | None) -> None:
        if message is not None:
            self._under_way += 1
            self._send(message)

    def _send(self, message: EncodedMessage) -> None:
        self._replier.send(message, self._address, self._settled, self._is_wanted, self._waits)

    def _waits(self) -> None:
        with self._lock:
            told, self._told_waits = self._told_waits, True
        if not told:
            self._tell_waits()

    def _settled(self, delivered: bool) -> None:  # noqa: FBT001
        with self._lock:
            self._under_way -= 1
            self._delivered = self._delivered and delivered
            done = self._under_way == 0
        if done:
            self._ended(self._delivered)
