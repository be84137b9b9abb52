"""One reply: whether it may be sent, how it is written, and what becomes of it on the way.

What the broker refuses for what it is becomes an error reply; what fails on the way is sent
again.
"""

from __future__ import annotations

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
from kafka_patterns.errors import SendFailed
from kafka_patterns.message import EncodedMessage, HeaderPairs, RecordMetadata
from kafka_patterns.patterns import is_valid_topic_name
from kafka_patterns.serialization.error_header import encode_error
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.reply_address import ReplyAddress
from kafka_patterns.synchronous import refuse_awaitable
from kafka_patterns.transport.base import Producer

__all__ = ["Replier", "disposed", "with_header"]

logger = logging.getLogger("kafka_patterns.replies")

_RESEND_SECONDS = 1.0
_MISSING_SECONDS = 3.0
"""How long replies wait, all together, for a topic that may be about to be created."""


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
        self._resending = 0  # replies that failed on their way and wait for another time
        self._resent = threading.Condition()  # guards the one above
        # The latest one alone: callers name the topics. Replaced as a whole.
        self._forbidden: tuple[str, BaseException] | None = None

    @property
    def last_error(self) -> BaseException | None:
        """Why the brokers do not let a reply be written; ``None`` once its topic took one."""
        return None if self._forbidden is None else self._forbidden[1]

    def allows(self, address: ReplyAddress) -> bool:
        """Whether a reply may go to *address*; a refusal is counted and logged."""
        topic = address.topic
        allowed = is_valid_topic_name(topic) and not self._is_own(topic) and self._may(topic)
        if not allowed:
            self.counters.add("replies_refused")
            logger.warning(
                "a caller asks for its reply in topic %.300r, which is not allowed: nothing is "
                "sent. run.allow_reply_topic decides",
                topic,
            )
        return allowed

    def _may(self, topic: str) -> bool:
        try:
            return bool(refuse_awaitable(self._allow(topic), "run.allow_reply_topic"))
        except BaseException:
            logger.exception("run.allow_reply_topic failed for topic %.300r", topic)
            return False

    def expect(self, address: ReplyAddress) -> None:
        """A reply to *address* will come: its topic becomes known while the handler runs."""
        self._producer.partitions(address.topic)

    def value(self, payload: Any, address: ReplyAddress, pattern: str) -> EncodedMessage:
        """A reply with what a handler returned.

        :raises PayloadError: if it cannot be written.
        """
        encoded = self._serialization.encode(payload, topic=address.topic, pattern=pattern)
        return attrs.evolve(
            encoded,
            headers=with_header(encoded.headers, headers.CORRELATION_ID, address.correlation_id),
            partition=self._partition(address, encoded.partition),
            partition_is_wish=True,
        )

    def error(self, error: Any, address: ReplyAddress) -> EncodedMessage:
        """A reply with an error: a null value and the error's header."""
        pairs: HeaderPairs = [(headers.CORRELATION_ID, address.correlation_id)]
        header = encode_error(error)
        if header is not None:
            pairs.append((headers.ERROR, header))
        return EncodedMessage(
            value=None,
            key=None,
            headers=pairs,
            partition=self._partition(address, None),
            partition_is_wish=True,
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
        settled: Callable[[bool], None],
        is_wanted: Callable[[], bool],
        waits: Callable[[], None],
    ) -> None:
        """Send a reply; from an I/O thread calls *settled* once, whatever becomes of it.

        :param settled: told whether the reply is done with: ``False`` if it was abandoned on its
            way, so that the request must come again.
        :param is_wanted: asked before sending again after a failure on the way.
        :param waits: told, before it is sent, if it cannot go yet: its topic is not known, or the
            partition has no leader. Others need not wait with it.
        """

        def again() -> None:
            try:
                self.send(message, address, settled, is_wanted, waits)
            finally:
                with self._resent:
                    self._resending -= 1
                    self._resent.notify_all()

        def ended(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is None:
                self.counters.add("replies_sent")
                if self._forbidden is not None and self._forbidden[0] == address.topic:
                    self._forbidden = None
                settled(True)
            elif isinstance(error, SendFailed) and error.retriable:
                if is_wanted():
                    self.counters.add("replies_sent_again")
                    with self._resent:
                        self._resending += 1
                    self._timers.at(time.monotonic() + _RESEND_SECONDS, again)
                else:
                    self.counters.add("replies_abandoned")
                    settled(False)
            else:
                self._give_up(message, address, settled, error)

        if not self._producer.has_leader(address.topic, message.partition):
            waits()
        sent = self._producer.send(
            address.topic,
            message,
            timeout=self._send_timeout,
            missing_timeout=_MISSING_SECONDS,
        )
        sent.add_done_callback(ended)

    def flush(self, timeout: float) -> bool:
        """Wait until all replies are done with, those as well that are to be sent again.

        And whatever else the producer has under way; ``False`` if *timeout* seconds passed first.
        """
        deadline = time.monotonic() + timeout
        while self._producer.flush(max(0.0, deadline - time.monotonic())):
            with self._resent:
                if not self._resending:
                    return True
                self._resent.wait(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                return False
        return False

    def _give_up(
        self,
        message: EncodedMessage,
        address: ReplyAddress,
        settled: Callable[[bool], None],
        error: BaseException,
    ) -> None:
        """The broker refuses this reply: tell the caller, if anything can be told."""
        self.counters.add("replies_failed")
        logger.error("a reply to topic %r could not be sent: %s", address.topic, error)
        is_forbidden = isinstance(error, SendFailed) and error.forbidden
        if is_forbidden:
            self.counters.add("replies_forbidden")
            self._forbidden = (address.topic, error)
        is_nowhere = is_forbidden or (isinstance(error, SendFailed) and error.topic_missing)
        if is_nowhere or (message.value is None and message.key is None):
            settled(True)
            return
        text = f"the reply could not be sent: {error}"
        substitute = disposed(self.error({"status": "error", "message": text}, address))
        sent = self._producer.send(address.topic, substitute, timeout=self._send_timeout)
        sent.add_done_callback(lambda _: settled(True))


def disposed(message: EncodedMessage) -> EncodedMessage:
    """*message* as the last reply to its request."""
    pairs = with_header(message.headers, headers.IS_DISPOSED, headers.IS_DISPOSED_VALUE)
    return attrs.evolve(message, headers=pairs)


def with_header(pairs: HeaderPairs, name: str, value: bytes) -> HeaderPairs:
    """*pairs* with one header set: in its place if it is there, else at the end."""
    if not any(pair[0] == name for pair in pairs):
        return [*pairs, (name, value)]
    return [pair if pair[0] != name else (name, value) for pair in pairs]
