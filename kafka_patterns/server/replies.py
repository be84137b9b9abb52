"""Replies: to whom, with which headers, in which order, and finished by whose word.

A worker hands a reply to the producer and goes on; the request is finished when the broker has
acknowledged its last reply. What the broker refuses for what it is becomes an error reply; what
fails on the way is sent again.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import PayloadError, SendFailed
from kafka_patterns.message import EncodedMessage, HeaderPairs, Record, RecordMetadata
from kafka_patterns.patterns import is_valid_topic_name
from kafka_patterns.serialization.error_header import encode_error
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.transport.base import Producer

__all__ = [
    "NoReplies",
    "Replier",
    "Replies",
    "ReplyAddress",
    "default_allow_reply_topic",
    "read_address",
]

logger = logging.getLogger("kafka_patterns.replies")

_RESEND_SECONDS = 1.0
_HOLD_SECONDS = 0.01
_PARTITION_BYTES = 4
_PARTITION_DIGITS = 9


@attrs.frozen
class ReplyAddress:
    """Where a caller waits.

    :param correlation_id: echoed byte for byte.
    :param numbered: whether the items of a stream are numbered: the caller is of our own kind,
        and all others get what NestJS would send.
    """

    topic: str
    partition: int | None
    correlation_id: bytes
    numbered: bool = False


def read_address(record: Record) -> ReplyAddress | None:
    """The return address of a request, or ``None`` if the record is an event.

    A partition of ASCII digits is decimal (NestJS), else four bytes are a big-endian number
    (Spring); anything else is no partition.
    """
    topic = record.header(headers.REPLY_TOPIC)
    correlation_id = record.header(headers.CORRELATION_ID)
    if not topic or not correlation_id:
        return None
    partition = _read_partition(record.header(headers.REPLY_PARTITION))
    return ReplyAddress(
        topic.decode("utf-8", "replace"),
        partition,
        correlation_id,
        numbered=record.has_header(headers.DEADLINE),
    )


def _read_partition(raw: bytes | None) -> int | None:
    if not raw:
        return None
    if raw.isdigit():
        return int(raw) if len(raw) <= _PARTITION_DIGITS else None
    if len(raw) == _PARTITION_BYTES and raw[0] < 0x80:
        return int.from_bytes(raw, "big")
    return None


def default_allow_reply_topic(topic: str) -> bool:
    """Reply topics end in ``.reply`` and are not internal."""
    return topic.endswith(headers.REPLY_TOPIC_SUFFIX) and not topic.startswith("__")


class Replier:
    """Sends the replies of one server.

    :param allow: which topics replies may go to; the address is the caller's word.
    :param is_own: whether the server reads a topic itself; such a one is never replied to.
    :param counters: replies sent, refused, failed, sent again.
    """

    def __init__(
        self,
        producer: Producer,
        serialization: Serialization,
        timers: Timers,
        *,
        allow: Callable[[str], bool],
        is_own: Callable[[str], bool],
        send_timeout: float,
        counters: Counters,
    ) -> None:
        self._producer = producer
        self._serialization = serialization
        self._timers = timers
        self._allow = allow
        self._is_own = is_own
        self._send_timeout = send_timeout
        self.counters = counters

    def allows(self, address: ReplyAddress) -> bool:
        """Whether a reply may go to *address*; a refusal is counted and logged."""
        topic = address.topic
        allowed = is_valid_topic_name(topic) and not self._is_own(topic) and self._allow(topic)
        if not allowed:
            self.counters.add("replies_refused")
            logger.warning(
                "a caller asks for its reply in topic %.300r, which is not allowed: nothing is "
                "sent. run.allow_reply_topic decides",
                topic,
            )
        return allowed

    def value(self, payload: Any, address: ReplyAddress, pattern: str) -> EncodedMessage:
        """A reply with what a handler returned.

        :raises PayloadError: if it cannot be written.
        """
        encoded = self._serialization.encode(payload, topic=address.topic, pattern=pattern)
        return attrs.evolve(
            encoded,
            headers=_with(encoded.headers, headers.CORRELATION_ID, address.correlation_id),
            partition=self._partition(address, encoded.partition),
        )

    def error(self, error: Any, address: ReplyAddress) -> EncodedMessage:
        """A reply with an error: a null value and the error's header."""
        pairs: HeaderPairs = [(headers.CORRELATION_ID, address.correlation_id)]
        header = encode_error(error)
        if header is not None:
            pairs.append((headers.ERROR, header))
        return EncodedMessage(
            value=None, key=None, headers=pairs, partition=self._partition(address, None)
        )

    def _partition(self, address: ReplyAddress, by_handler: int | None) -> int | None:
        """The caller's partition, if it exists; else the handler's choice."""
        if address.partition is None:
            return by_handler
        known = self._producer.partitions(address.topic)
        if known is not None and address.partition not in known:
            self.counters.add("reply_partitions_unknown")
            return None
        return address.partition

    def send(
        self,
        message: EncodedMessage,
        address: ReplyAddress,
        acknowledged: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        """Send a reply; calls *acknowledged* once it is settled, from an I/O thread.

        :param is_wanted: asked before sending again after a failure on the way.
        """

        def ended(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is None:
                self.counters.add("replies_sent")
                acknowledged()
            elif isinstance(error, SendFailed) and error.retriable:
                if not is_wanted():
                    self.counters.add(
                        "replies_abandoned"
                    )  # the request stays unfinished, and comes again
                    return
                self.counters.add("replies_sent_again")
                again = time.monotonic() + _RESEND_SECONDS
                self._timers.at(again, lambda: self.send(message, address, acknowledged, is_wanted))
            else:
                self._give_up(message, address, acknowledged, error)

        self._producer.send(address.topic, message, timeout=self._send_timeout).add_done_callback(
            ended
        )

    def _give_up(
        self,
        message: EncodedMessage,
        address: ReplyAddress,
        acknowledged: Callable[[], None],
        error: BaseException,
    ) -> None:
        """The broker refuses this reply: tell the caller, if anything can be told."""
        self.counters.add("replies_failed")
        logger.error("a reply to topic %r could not be sent: %s", address.topic, error)
        if message.value is None and message.key is None:
            acknowledged()
            return
        text = f"the reply could not be sent: {error}"
        substitute = disposed(self.error({"status": "error", "message": text}, address))
        sent = self._producer.send(address.topic, substitute, timeout=self._send_timeout)
        sent.add_done_callback(lambda _: acknowledged())


def disposed(message: EncodedMessage) -> EncodedMessage:
    """*message* as the last reply to its request."""
    pairs = _with(message.headers, headers.IS_DISPOSED, headers.IS_DISPOSED_VALUE)
    return attrs.evolve(message, headers=pairs)


def _with(pairs: HeaderPairs, name: str, value: bytes) -> HeaderPairs:
    """*pairs* with one header set: in its place if it is there, else at the end."""
    if not any(pair[0] == name for pair in pairs):
        return [*pairs, (name, value)]
    return [pair if pair[0] != name else (name, value) for pair in pairs]


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
    """All replies to one request, in order; finishes the request when all are settled.

    A value is held back for a moment: if the handler ends meanwhile, the value itself is marked
    as the last one, as NestJS does; else it goes out, and an empty last reply follows later.

    What a generator gives is numbered for callers of our own kind: a request that is delivered
    again gives it again, and a reply that is sent again may come after later ones.
    """

    def __init__(
        self,
        replier: Replier,
        address: ReplyAddress,
        pattern: str,
        timers: Timers,
        *,
        finished: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._replier = replier
        self._address = address
        self._pattern = pattern
        self._timers = timers
        self._finished = finished
        self._is_wanted = is_wanted
        # Guards the three below; reentrant, for a send can fail, and so settle, at once.
        self._lock = threading.RLock()
        self._held: EncodedMessage | None = None
        self._under_way = 1  # the end of the handler
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
        return attrs.evolve(message, headers=_with(message.headers, headers.SEQUENCE, number))

    def _numbered_end(self, message: EncodedMessage) -> EncodedMessage:
        """What ends the request has a number only if there were values before it."""
        return self._numbered(message) if self.has_values else message

    def only(self, payload: Any) -> None:
        """The one and last reply.

        :raises PayloadError: if *payload* cannot be written.
        """
        message = self._numbered_end(self._replier.value(payload, self._address, self._pattern))
        self._send_held()
        self._finish_with(disposed(message))

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
        self._finish_with(disposed(last))

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
        self._finish_with(disposed(message) if is_last else message)

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
            self._replier.send(message, self._address, self._settled, self._is_wanted)

    def _finish_with(self, message: EncodedMessage) -> None:
        self._replier.send(message, self._address, self._settled, self._is_wanted)

    def _settled(self) -> None:
        with self._lock:
            self._under_way -= 1
            done = self._under_way == 0
        if done:
            self._finished()
