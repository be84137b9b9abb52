"""One message: decode, bind, call, filter, reply. Runs in a worker thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import KafkaRetriableException, PayloadError
from kafka_patterns.failures.attempts import attempts_before
from kafka_patterns.failures.filters import ExceptionFilter, choose_filter
from kafka_patterns.failures.rpc_error import error_object, is_expected
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.serialization.typed import structure_body
from kafka_patterns.server.context import KafkaContext, read_correlation_id, read_deadline
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.replies import NoReplies, Replier, Replies, ReplyAddress, read_address
from kafka_patterns.server.work import Finished, Outcome, Retry, Stop, WorkItem

__all__ = ["Dispatcher"]

logger = logging.getLogger("kafka_patterns.dispatcher")


@attrs.frozen
class _Invocation:
    """One call of one handler; ``unreadable`` is raised in its place."""

    handler: Handler
    context: KafkaContext
    unreadable: PayloadError | None


class Dispatcher:
    """Works on one message at a time, in as many threads as there are workers.

    :param on_poison: what an event's unreadable payload leads to.
    :param commit: commits an item's message, for ``KafkaContext.commit``.
    :param reply_settled: told when the last reply to a request is settled.
    :param still_wanted: whether replies of an item are worth sending again.
    """

    def __init__(
        self,
        serialization: Serialization,
        replier: Replier,
        timers: Timers,
        consumer: ConsumerDriver,
        producer: ProducerDriver,
        global_filters: Sequence[ExceptionFilter],
        *,
        on_poison: str,
        commit: Callable[[WorkItem], None],
        reply_settled: Callable[[WorkItem], None],
        still_wanted: Callable[[WorkItem], bool],
    ) -> None:
        self._serialization = serialization
        self._replier = replier
        self._timers = timers
        self._consumer = consumer
        self._producer = producer
        self._global_filters = tuple(global_filters)
        self._on_poison = on_poison
        self._commit = commit
        self._reply_settled = reply_settled
        self._still_wanted = still_wanted

    def process(self, item: WorkItem) -> Outcome:
        """Work on *item*; never raises an ``Exception``."""
        item.attempt += 1
        handler = item.route.message
        address = read_address(item.record)
        if handler is None or address is None:
            outcome = self._run_events(item, item.route.events if handler is None else [handler])
            if address is None or not isinstance(outcome, Finished):
                return outcome
        replies = self._replies(item, address)
        if handler is None:
            replies.error(headers.NO_MESSAGE_HANDLER, is_last=False)
            return Finished(reply_under_way=True)
        return self._run_request(item, handler, replies)

    def _replies(self, item: WorkItem, address: ReplyAddress) -> Replies | NoReplies:
        def finished() -> None:
            self._reply_settled(item)

        if not self._replier.allows(address):
            return NoReplies(finished)
        return Replies(
            self._replier,
            address,
            item.record.topic,
            self._timers,
            finished=finished,
            is_wanted=lambda: self._still_wanted(item),
        )

    # Events

    def _run_events(self, item: WorkItem, handlers: Sequence[Handler]) -> Outcome:
        """Call each handler that is not through yet; what it returns is dropped."""
        outcome: Outcome = Finished()
        for handler in handlers:
            if handler in item.handled_by:
                continue
            failed = self._run_event(item, handler)
            if failed is None:
                item.handled_by.add(handler)
            else:
                outcome = failed
        return outcome

    def _run_event(self, item: WorkItem, handler: Handler) -> Outcome | None:
        """``None`` if *handler* is through with the event, else what comes of its failure."""
        invocation = self._invocation(item, handler, expects_reply=False)
        try:
            _exhaust(self._call(item, invocation))
            return None
        except Exception as error:  # noqa: BLE001  handlers and filters may raise anything
            try:
                _exhaust(self._filter(invocation, error))
                return None
            except Exception as final:  # noqa: BLE001  handlers and filters may raise anything
                self._log_failure(item, handler, final)
                return self._after_failed_event(final)

    def _after_failed_event(self, error: Exception) -> Outcome | None:
        if isinstance(error, PayloadError):
            if self._on_poison == "skip":
                self._replier.count("poison_skipped")
                return None
            if self._on_poison == "stop":
                return Stop(error)
        return Retry(error)

    # Requests

    def _run_request(
        self, item: WorkItem, handler: Handler, replies: Replies | NoReplies
    ) -> Outcome:
        invocation = self._invocation(item, handler, expects_reply=True)
        try:
            try:
                self._answer(self._call(item, invocation), replies)
            except Exception as error:  # noqa: BLE001  handlers and filters may raise anything
                self._answer(self._filter(invocation, error), replies)
        except KafkaRetriableException as error:
            self._log_failure(item, handler, error)
            if not replies.has_values:
                return Retry(error)
            replies.error(error_object(error))
        except Exception as error:  # noqa: BLE001  handlers and filters may raise anything
            self._log_failure(item, handler, error)
            replies.error(error_object(error))
        return Finished(reply_under_way=True)

    def _answer(self, result: Any, replies: Replies | NoReplies) -> None:
        if not isinstance(result, Iterator):
            replies.only(result)
            return
        for value in result:
            replies.value(value)
        replies.end()

    # Both

    def _call(self, item: WorkItem, invocation: _Invocation) -> Any:
        if invocation.unreadable is not None:
            raise invocation.unreadable
        handler, context = invocation.handler, invocation.context
        annotation = handler.binding.annotation
        payload = structure_body(item.record.value, context.message.value, annotation)
        return handler.binding.call(handler.function, payload, context)

    def _filter(self, invocation: _Invocation, error: Exception) -> Any:
        """The value a filter puts in place of *error*; raises the error that remains."""
        chosen = choose_filter((*invocation.handler.filters, *self._global_filters), error)
        if chosen is None:
            raise error
        return chosen.catch(error, invocation.context)

    def _invocation(self, item: WorkItem, handler: Handler, *, expects_reply: bool) -> _Invocation:
        record, pattern = item.record, handler.mark.pattern
        value, unreadable = None, None
        try:
            value = self._serialization.decode(record, pattern=pattern)
        except PayloadError as error:
            unreadable = error
        message = incoming_message(record, value)
        context = KafkaContext(
            topic=record.topic,
            partition=record.partition,
            message=message,
            pattern=pattern,
            handler=handler.name,
            consumer=self._consumer,
            producer=self._producer,
            attempt=item.attempt + attempts_before(message.headers),
            correlation_id=read_correlation_id(record.header(headers.CORRELATION_ID)),
            deadline=read_deadline(record.header(headers.DEADLINE)),
            expects_reply=expects_reply,
            is_lost=lambda: item.assigned.lost,
            commit=lambda: self._commit(item),
        )
        return _Invocation(handler, context, unreadable)

    def _log_failure(self, item: WorkItem, handler: Handler, error: Exception) -> None:
        record = item.record
        logger.log(
            logging.WARNING if is_expected(error) else logging.ERROR,
            "handler %s failed on %s[%d] offset %d, attempt %d: %s: %s",
            handler.name,
            record.topic,
            record.partition,
            record.offset,
            item.attempt,
            type(error).__name__,
            error,
            exc_info=None if is_expected(error) else error,
        )


def _exhaust(result: Any) -> None:
    """A generator handler runs only while somebody asks for its values."""
    if isinstance(result, Iterator):
        for _ in result:
            pass
