"""Sending given-up messages to other topics: acknowledged by the broker, or not gone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future

from kafka_patterns.consuming.counters import Counters
from kafka_patterns.errors import SendFailed
from kafka_patterns.failures.letter import Letter
from kafka_patterns.message import EncodedMessage, RecordMetadata
from kafka_patterns.transport.base import Producer

__all__ = ["Letters"]

logger = logging.getLogger("kafka_patterns.letters")


class Letters:
    """Sends the dead letters of one server, and what waits in retry topics. Any thread."""

    def __init__(self, producer: Producer, counters: Counters, *, send_timeout: float) -> None:
        self._producer = producer
        self._counters = counters
        self._send_timeout = send_timeout
        self.last_error: BaseException | None = None
        """Why the latest one was refused; ``None`` once one was taken again."""

    def send(self, letter: Letter) -> Future[None]:
        """Send *letter*; never waits.

        The future ends when the broker has it, or with why it has not. What is too large goes
        again in the letter's next form.
        """
        ended: Future[None] = Future()
        self._try_forms(letter, letter.forms, ended)
        return ended

    def _try_forms(
        self, letter: Letter, forms: Sequence[EncodedMessage], ended: Future[None]
    ) -> None:
        def sent(future: Future[RecordMetadata]) -> None:
            error = future.exception()
            if error is None:
                self.last_error = None
                self._counters.add(letter.counter)
                ended.set_result(None)
            elif isinstance(error, SendFailed) and error.too_large and len(forms) > 1:
                self._try_forms(letter, forms[1:], ended)
            else:
                self.last_error = error
                self._counters.add("letters_refused")
                logger.error(
                    "a given-up message is not in topic %r yet, trying again: %s",
                    letter.topic,
                    error,
                )
                ended.set_exception(error)

        sending = self._producer.send(letter.topic, forms[0], timeout=self._send_timeout)
        sending.add_done_callback(sent)
