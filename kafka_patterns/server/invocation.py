"""One call of one handler: payload and context in, its result or its error out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.errors import PayloadError
from kafka_patterns.failures.attempts import attempts_before
from kafka_patterns.failures.filters import ExceptionFilter, choose_filter
from kafka_patterns.failures.rpc_error import is_expected
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.serialization.typed import structure_body
from kafka_patterns.server.context import KafkaContext, read_correlation_id, read_deadline
from kafka_patterns.server.deferral import Acknowledgement
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.outcome import Outcome
from kafka_patterns.server.work import WorkItem

__all__ = ["Conclude", "Invocation", "InvocationMaker"]

logger = logging.getLogger("kafka_patterns.dispatcher")

Conclude = Callable[["Invocation", Callable[[], Any]], Outcome]
"""Given a call and what produces its result or error, says what becomes of the message."""


@attrs.define(eq=False)
class Invocation:
    """A handler about to be called for one message.

    :param poison: why the payload could not be read, once that is known.
    :param acknowledgement: set if the handler finishes the message later.
    """

    item: WorkItem
    handler: Handler
    filters: Sequence[ExceptionFilter]
    context: KafkaContext = attrs.field(init=False)
    poison: PayloadError | None = None
    acknowledgement: Acknowledgement | None = None

    def call(self) -> Any:
        """Call the handler.

        :raises PayloadError: if the payload cannot be read, or is not what it asks for.
        """
        payload = self.payload(self.handler.binding.annotation)
        return self.handler.binding.call(self.handler.function, payload, self.context)

    def payload(self, annotation: Any) -> Any:
        """The payload as *annotation* asks.

        :raises PayloadError: if it cannot be read, or is not what is asked for.
        """
        if self.poison is not None:
            raise self.poison
        try:
            return structure_body(self.item.record.value, self.context.message.value, annotation)
        except PayloadError as error:
            self.poison = error
            raise

    def filter(self, error: Exception) -> Any:
        """The value a filter puts in place of *error*; raises the error that remains."""
        chosen = choose_filter((*self.handler.filters, *self.filters), error)
        if chosen is None:
            raise error
        return chosen.catch(error, self.context)

    def log_failure(self, error: Exception) -> None:
        """Say which handler failed where; with a traceback if it did not mean to."""
        record = self.item.record
        logger.log(
            logging.WARNING if is_expected(error) else logging.ERROR,
            "handler %s failed on %s[%d] offset %d, attempt %d: %s: %s",
            self.handler.name,
            record.topic,
            record.partition,
            record.offset,
            self.item.attempt,
            type(error).__name__,
            error,
            exc_info=None if is_expected(error) else error,
        )


@attrs.frozen
class InvocationMaker:
    """Makes the invocations of one server.

    :param commit: commits an item's message, for ``KafkaContext.commit``.
    """

    serialization: Serialization
    consumer: ConsumerDriver
    producer: ProducerDriver
    global_filters: tuple[ExceptionFilter, ...]
    commit: Callable[[WorkItem], None]

    def make(
        self, item: WorkItem, handler: Handler, conclude: Conclude, *, expects_reply: bool
    ) -> Invocation:
        """An invocation of *handler* for *item*.

        :param conclude: what ``KafkaContext.defer`` leads to in the end.
        """
        record, pattern = item.record, handler.mark.pattern
        invocation = Invocation(item, handler, self.global_filters)
        value = None
        try:
            value = self.serialization.decode(record, pattern=pattern)
        except PayloadError as error:
            invocation.poison = error

        def defer() -> Acknowledgement:
            if invocation.acknowledgement is None:
                invocation.acknowledgement = Acknowledgement(
                    lambda produce: conclude(invocation, produce)
                )
            return invocation.acknowledgement

        message = incoming_message(record, value)
        invocation.context = KafkaContext(
            topic=record.topic,
            partition=record.partition,
            message=message,
            messages=(message,),
            pattern=pattern,
            handler=handler.name,
            consumer=self.consumer,
            producer=self.producer,
            attempt=item.attempt + attempts_before(message.headers),
            correlation_id=read_correlation_id(record.header(headers.CORRELATION_ID)),
            deadline=read_deadline(record.header(headers.DEADLINE)),
            expects_reply=expects_reply,
            is_lost=lambda: item.assigned.lost,
            commit=lambda: self.commit(item),
            defer=defer,
        )
        return invocation
