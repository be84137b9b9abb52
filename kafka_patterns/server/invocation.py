"""One call of one handler: payload and context in, its result or its error out."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

import attrs

from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.errors import ConfigurationError, KafkaPatternsError, PayloadError
from kafka_patterns.failures.causes import Cause, error_text, is_wrong_call
from kafka_patterns.failures.filters import ExceptionFilter, choose_filter
from kafka_patterns.failures.rpc_error import is_expected
from kafka_patterns.message import IncomingMessage, Record
from kafka_patterns.middleware.chain import MiddlewareChain
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.context import KafkaContext
from kafka_patterns.server.deferral import Acknowledgement
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.outcome import Outcome
from kafka_patterns.server.work import WorkItem
from kafka_patterns.synchronous import refuse_awaitable

__all__ = ["Conclude", "Invocation", "InvocationMaker"]

logger = logging.getLogger("kafka_patterns.dispatcher")

_END = "end"

Conclude = Callable[["Invocation", Callable[[], Any]], Outcome]
"""Given a call and what produces its result or error, says what becomes of the message."""


@attrs.define(eq=False)
class Invocation:
    """A handler about to be called for one message; its context stands on it.

    :param conclude: what ``KafkaContext.defer`` leads to in the end.
    :param expects_reply: whether what the handler returns is sent.
    :param value: what the deserializer made of the payload.
    :param poison: why the payload could not be read, once that is known.
    :param wrong_call: how the handler's signature refused the call.
    :param returned: whether the handler itself came to its end, and so could commit by hand.
    :param batch: all invocations of a batch handler's call, on the first of them.
    """

    item: WorkItem
    handler: Handler
    _tools: InvocationMaker
    _conclude: Conclude
    expects_reply: bool
    value: Any = None
    poison: PayloadError | None = None
    wrong_call: TypeError | None = None
    returned: bool = False
    batch: Sequence[Invocation] = ()
    # One entry at most, written once: how the call ended. None if nothing was deferred.
    _ends: dict[str, Acknowledgement | None] = attrs.field(factory=dict)
    _filters_asked: bool = False
    _message: IncomingMessage | None = None
    # Weak: the two would keep each other in memory, with the message, until a collection.
    _context: weakref.ref[KafkaContext] | None = None

    # What the context tells

    @property
    def context(self) -> KafkaContext:
        """The context of this call; the same one as long as anybody has it."""
        context = None if self._context is None else self._context()
        if context is None:
            context = KafkaContext(self)
            self._context = weakref.ref(context)
        return context

    @property
    def record(self) -> Record:
        """The record as it was fetched."""
        return self.item.record

    @property
    def message(self) -> IncomingMessage:
        """The message, parsed when it is asked for."""
        if self._message is None:
            self._message = incoming_message(self.item.record, self.value)
        return self._message

    @property
    def messages(self) -> tuple[IncomingMessage, ...]:
        """Those of the batch, or the one."""
        return tuple(one.message for one in self.batch or (self,))

    @property
    def pattern(self) -> str:
        """The handler's."""
        return self.handler.mark.pattern

    @property
    def handler_name(self) -> str:
        """The handler's."""
        return self.handler.name

    @property
    def consumer(self) -> ConsumerDriver:
        """The server's."""
        return self._tools.consumer

    @property
    def producer(self) -> ProducerDriver:
        """The server's."""
        return self._tools.producer

    @property
    def tries(self) -> int:
        """How often this process has tried the message, this time included."""
        return self.item.attempt

    @property
    def is_lost(self) -> bool:
        """Whether the partition was given up meanwhile."""
        return self.item.assigned.lost

    @property
    def is_deferred(self) -> bool:
        """Whether the handler finishes the message later."""
        return self.acknowledgement is not None

    def commit(self) -> bool:
        """Commit the message, or all of the batch; ``False`` if the partition was lost before."""
        return self._tools.commit([one.item for one in self.batch or (self,)])

    def defer(self) -> Acknowledgement:
        """Leave the end to whoever has the acknowledgement; always the same one."""
        if self.batch:
            raise ConfigurationError(
                f"batch handler {self.handler_name}: a batch cannot be deferred"
            )
        # A copy: the handler may still run in its own when another thread concludes.
        variables = copy_context()
        made = Acknowledgement(lambda produce: variables.run(self._conclude, self, produce))
        # First: whoever has the acknowledgement may use it before the handler returns.
        self.returned = True
        kept = self._ends.setdefault(_END, made)  # atomic: the handler may just return
        if kept is None:
            raise KafkaPatternsError(
                f"defer() comes too late: handler {self.handler_name} is through with "
                f"{self.context!r}; call it before the handler returns"
            )
        return kept

    @property
    def acknowledgement(self) -> Acknowledgement | None:
        """What finishes the message later, if the handler deferred it."""
        return self._ends.get(_END)

    def end(self) -> Acknowledgement | None:
        """The call is over, and nobody can defer any more; what finishes the message later."""
        return self._ends.setdefault(_END, None)

    # The call

    def run(self, consume: Callable[[Any], Any]) -> Any:
        """Call the handler with the middleware round it, if there is any.

        :param consume: takes the values of a generator and returns the result: the body of a
            generator handler is to run inside the middleware as well.
        :raises PayloadError: if the payload cannot be read, or is not what it asks for.
        """
        if self._tools.middleware is None:
            return self.call()
        return self.within_middleware(lambda: self._call_and_filter(consume))

    def within_middleware(self, call: Callable[[], Any]) -> Any:
        """Return what *call* returns, or raises, with the middleware round it."""
        middleware = self._tools.middleware
        return call() if middleware is None else middleware.run(self.context, call)

    def _call_and_filter(self, consume: Callable[[Any], Any]) -> Any:
        try:
            return consume(self.call())
        except BaseException as error:
            self.returned = False
            if self.acknowledgement is not None:
                raise  # whether the error counts depends on who was first
            return consume(self.filter(error))

    def call(self) -> Any:
        """Call the handler.

        :raises PayloadError: if the payload cannot be read, or is not what it asks for.
        """
        return self.call_with(self.payload(), self.context)

    def call_with(self, payload: Any, context: KafkaContext) -> Any:
        """Call the handler's function."""
        function = self.handler.function
        try:
            result = self.handler.binding.call(function, payload, context)
        except TypeError as error:
            if is_wrong_call(error, function):
                self.wrong_call = error
            raise
        refuse_awaitable(result, f"handler {self.handler.name}")
        self.returned = not context.handled_before
        return result

    def cause(self, error: BaseException) -> Cause:
        """What kind of failure *error* is, which this call raised."""
        if error is self.poison:
            return Cause.UNREADABLE
        return Cause.WRONG_CALL if error is self.wrong_call else Cause.HANDLER

    def payload(self) -> Any:
        """The payload, or one of a batch, as the handler's annotation asks.

        :raises PayloadError: if it cannot be read, or is not what is asked for.
        """
        if self.poison is not None:
            raise self.poison
        try:
            return self.handler.read_body(self.item.record.value, self.value)
        except BaseException as error:
            self.poison = _unreadable(error, "a hook of the payload's type")
            raise self.poison from error

    def filter(self, error: BaseException) -> Any:
        """The value a filter puts in place of *error*; raises the error that remains.

        Filters are asked once: what they let pass, the middleware may see before it comes here.
        """
        if self._filters_asked:
            raise error
        self._filters_asked = True
        chosen = choose_filter((*self.handler.filters, *self._tools.global_filters), error)
        if chosen is None:
            raise error
        caught = chosen.catch(error, self.context)
        return refuse_awaitable(caught, f"exception filter {type(chosen).__name__}")

    def log_failure(self, error: BaseException) -> None:
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
            error_text(error),
            exc_info=None if is_expected(error) else error,
        )


@attrs.frozen
class InvocationMaker:
    """Makes the invocations of one server.

    :param commit: commits the messages of items, for ``KafkaContext.commit``; says whether they
        were still ours.
    :param middleware: what runs round each call, if anything does.
    """

    serialization: Serialization
    consumer: ConsumerDriver
    producer: ProducerDriver
    global_filters: tuple[ExceptionFilter, ...]
    commit: Callable[[Sequence[WorkItem]], bool]
    middleware: MiddlewareChain | None = None

    def make(
        self, item: WorkItem, handler: Handler, conclude: Conclude, *, expects_reply: bool
    ) -> Invocation:
        """An invocation of *handler* for *item*.

        :param conclude: what ``KafkaContext.defer`` leads to in the end.
        """
        invocation = Invocation(item, handler, self, conclude, expects_reply)
        try:
            invocation.value = self.serialization.decode(
                item.record,
                pattern=handler.mark.pattern,
                deserializer=handler.mark.deserializer,
            )
        except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
            invocation.poison = _unreadable(error, "the deserializer")
        return invocation


def _unreadable(error: BaseException, reader: str) -> PayloadError:
    """What *reader* raised, as the failure of the payload that it is."""
    if isinstance(error, PayloadError):
        return error
    unreadable = PayloadError(f"{reader} failed: {type(error).__name__}: {error_text(error)}")
    unreadable.__cause__ = error
    return unreadable
