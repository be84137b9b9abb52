"""Sending dead letters: acknowledged by the broker, or not gone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future

from kafka_patterns.consuming.counters import Counters
from kafka_patterns.errors import SendFailed
from kafka_patterns.failures.dead_letter import DeadLetter
from kafka_patterns.message import EncodedMessage, Record, RecordMetadata
from kafka_patterns.transport.base import Producer

__all__ = ["DeadLetters"]

logger = logging.getLogger("kafka_patterns.dead_letters")


class DeadLetters:
    """Sends the dead letters of one server. Any thread.

    :param group: the group that gives the messages up.
    """

    def __init__(
        self, producer: Producer, group: str, counters: Counters, *, send_timeout: float
    ) -> None:
        self._producer = producer
        self._group = group
        self._counters = counters
        self._send_timeout = send_timeout
        self.last_error: BaseException | None = None
        """Why the latest one was refused; ``None`` once one was taken again."""

    def send(self, record: Record, chosen: DeadLetter, error: BaseException) -> Future[None]:
        """Send the dead letter of *record*; never waits.

        The future ends when the broker has it, or with why it has not. What is too large goes
        again with less about the failure.
        """
        ended: Future[None] = Future()
        topic = chosen.destination(record.topic)
        self._try_forms(topic, chosen.letters(record, error, self._group), ended)
        return ended

    def _try_forms(self, topic: str, forms: Sequence[EncodedMessage], ended: Future[None]) -> None:
        def sent(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is None:
                self.last_error = None
                self._counters.add("dead_lettered")
                ended.set_result(None)
            elif isinstance(error, SendFailed) and error.too_large and len(forms) > 1:
                self._try_forms(topic, forms[1:], ended)
            else:
                self.last_error = error
                self._counters.add("dead_letters_refused")
                logger.error("a dead letter is not in topic %r yet, trying again: %s", topic, error)
                ended.set_exception(error)

        self._producer.send(topic, forms[0], timeout=self._send_timeout).add_done_callback(sent)
