"""One message: which handlers run, and what their results and errors lead to.

Runs in a worker thread, and for a deferred message in the thread that finishes it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any

from kafka_patterns import headers
from kafka_patterns.consuming.inherited import CLOCK_SKEW_SECONDS, inherited_deadline
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import HandlerLost
from kafka_patterns.server.context import read_deadline
from kafka_patterns.server.deferral import join_outcomes
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.invocation import Conclude, Invocation, InvocationMaker
from kafka_patterns.server.outcome import FINISHED, Deferred, Finished, Outcome, worse
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.replier import Replier
from kafka_patterns.server.replies import NoReplies, Replies
from kafka_patterns.server.reply_address import ReplyAddress, read_address
from kafka_patterns.server.work import WorkItem
from kafka_patterns.synchronous import refuse_awaitable

__all__ = ["Dispatcher", "exhaust", "lost_with"]

logger = logging.getLogger("kafka_patterns.dispatcher")


class Dispatcher:
    """Works on one message at a time, in as many threads as there are workers.

    :param recovery: says what becomes of a message whose handler failed.
    :param skip_expired: whether requests whose callers wait no longer are skipped.
    :param reply_ended: told when the last reply to a request is settled, and whether all of them
        went where they could.
    :param reply_waits: told that a reply of an item cannot go yet.
    :param still_wanted: whether replies of an item are worth sending again.
    """

    def __init__(
        self,
        invocations: InvocationMaker,
        replier: Replier,
        timers: Timers,
        recovery: Recovery,
        *,
        skip_expired: bool,
        reply_ended: Callable[[WorkItem, bool], None],
        reply_waits: Callable[[WorkItem], None],
        still_wanted: Callable[[WorkItem], bool],
    ) -> None:
        self._invocations = invocations
        self._replier = replier
        self._timers = timers
        self._recovery = recovery
        self._skip_expired = skip_expired
        self._reply_ended = reply_ended
        self._reply_waits = reply_waits
        self._still_wanted = still_wanted

    def process(self, item: WorkItem) -> Outcome:
        """Work on *item*; raises nothing that a handler or a filter does."""
        # What is set for one message must not be there for the next one of this thread.
        return copy_context().run(self._process_in_time, item)

    def _process_in_time(self, item: WorkItem) -> Outcome:
        deadline = read_deadline(item.record.header(headers.DEADLINE))
        if deadline is None:
            return self._process(item)
        with inherited_deadline(deadline):
            return self._process(item)

    def _process(self, item: WorkItem) -> Outcome:
        self._recovery.begin(item)
        handler = item.route.message
        address = read_address(item.record)
        if handler is None:
            return self._answer_after_events(item, self._run_events(item, item.route.events))
        if address is None:
            return self._run_events(item, [handler])
        if handler in item.letters:
            return self._recovery.bury(item, handler)  # it was answered before
        if self._is_expired(item):
            self._replier.counters.add("requests_expired")
            item.given_up = True
            return FINISHED
        return self._run_request(item, handler, self._replies(item, handler, address))

    def _answer_after_events(self, item: WorkItem, outcome: Outcome) -> Outcome:
        """Whenever event handlers are through with a request, its caller need not wait any more."""
        if isinstance(outcome, Deferred):
            return outcome.then(lambda settled: self._answer_after_events(item, settled))
        if isinstance(outcome, Finished) and self.answer_without_handler(item):
            return Finished(reply_under_way=True)
        return outcome

    def answer_without_handler(self, item: WorkItem) -> bool:
        """Answer what event handlers are through with, if it is a request.

        :returns: whether a reply is under way, whose end will be told.
        """
        address = read_address(item.record)
        if address is None or item.route.retry_level:  # that was answered when it went there
            return False
        self._replies(item, None, address).error(headers.NO_MESSAGE_HANDLER, is_last=False)
        return True

    def _replies(
        self, item: WorkItem, handler: Handler | None, address: ReplyAddress
    ) -> Replies | NoReplies:
        if not self._replier.allows(address):
            return NoReplies(lambda: self._reply_ended(item, True))
        self._replier.expect(address)
        return Replies(
            self._replier,
            address,
            item.record.topic if handler is None else handler.mark.pattern,
            self._timers,
            ended=functools.partial(self._reply_ended, item),
            is_wanted=lambda: self._still_wanted(item),
            waits=lambda: self._reply_waits(item),
        )

    def _is_expired(self, item: WorkItem) -> bool:
        """Whether nobody waits for the reply any more, and that is a reason to skip it."""
        if not self._skip_expired:
            return False
        deadline = read_deadline(item.record.header(headers.DEADLINE))
        return deadline is not None and deadline + CLOCK_SKEW_SECONDS < time.time()

    # Events

    def _run_events(self, item: WorkItem, handlers: Sequence[Handler]) -> Outcome:
        """Call each handler that is not through yet; what it returns is dropped."""
        outcome: Outcome = FINISHED
        waiting: list[Deferred] = []
        for handler in handlers:
            if handler in item.handled_by:
                continue
            if handler in item.letters:
                ended = self._recovery.bury(item, handler)
            else:
                ended = self._run_event_apart(item, handler, of=len(handlers))
            if isinstance(ended, Deferred):
                waiting.append(ended)
            else:
                outcome = worse(outcome, ended)
        return join_outcomes(waiting, outcome) if waiting else outcome

    def _run_event_apart(self, item: WorkItem, handler: Handler, *, of: int) -> Outcome:
        """Call one *of* several handlers, each of which has its own context variables."""
        if of == 1:
            return self._run_event(item, handler)  # the message's are its own
        return copy_context().run(self._run_event, item, handler)

    def _run_event(self, item: WorkItem, handler: Handler) -> Outcome:
        invocation = self._invocations.make(item, handler, self.conclude_event, expects_reply=False)
        return self._run(invocation, self.conclude_event, exhaust)

    def conclude_event(self, invocation: Invocation, produce: Callable[[], Any]) -> Outcome:
        """What becomes of an event, given what produces its handler's result or error."""
        try:
            try:
                exhaust(produce())
            except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
                invocation.returned = False
                exhaust(invocation.filter(error))
        except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
            return self._recovery.after_event(invocation, error)
        invocation.item.went_through(invocation.handler)
        if not invocation.returned:
            invocation.item.given_up = True
        return FINISHED

    # Requests

    def _run_request(
        self, item: WorkItem, handler: Handler, replies: Replies | NoReplies
    ) -> Outcome:
        def conclude(invocation: Invocation, produce: Callable[[], Any]) -> Outcome:
            return self._conclude_request(invocation, replies, produce)

        invocation = self._invocations.make(item, handler, conclude, expects_reply=True)
        return self._run(invocation, conclude, lambda result: _send_values(result, replies))

    def _conclude_request(
        self, invocation: Invocation, replies: Replies | NoReplies, produce: Callable[[], Any]
    ) -> Outcome:
        try:
            try:
                result = produce()
                # Before the reply: its acknowledgement may come at once.
                invocation.item.given_up = not invocation.returned
                _answer(result, replies)
            except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
                reply = invocation.filter(error)
                invocation.item.given_up = True
                _answer(reply, replies)
        except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
            return self._recovery.after_request(invocation, replies, error)
        return Finished(reply_under_way=True)

    # Both

    def _run(
        self, invocation: Invocation, conclude: Conclude, consume: Callable[[Any], Any]
    ) -> Outcome:
        """Call the handler, and conclude, unless it finishes the message later."""
        item = invocation.item
        if self._recovery.is_beyond_tries(item, invocation.handler):
            return conclude(invocation, functools.partial(_raise, lost_with(item)))
        try:
            result = invocation.run(consume)
        except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
            acknowledgement = invocation.end()
            if acknowledgement is not None and not acknowledgement.void():
                # Another thread acknowledged it before the handler raised.
                return Deferred(acknowledgement.when_settled)
            return conclude(invocation, functools.partial(_raise, error))
        acknowledgement = invocation.end()
        if acknowledgement is not None:
            return Deferred(acknowledgement.when_settled)
        return conclude(invocation, lambda: result)


def lost_with(item: WorkItem) -> HandlerLost:
    """Why *item* is not tried again."""
    return HandlerLost(
        f"{item.lost_tries} processes ended, or were cut off from their group, while "
        f"{item.record.topic}[{item.record.partition}] offset {item.record.offset} was handled "
        "and nothing beside it: it may need more memory or time than there is, or crash an "
        "extension module"
    )


def _raise(error: BaseException) -> None:
    raise error


def _answer(result: Any, replies: Replies | NoReplies) -> None:
    if isinstance(_send_values(result, replies), Iterator):
        replies.end()
    else:
        replies.only(result)


def _send_values(result: Any, replies: Replies | NoReplies) -> Any:
    """Send the values of a generator; one that is exhausted has none left."""
    if isinstance(result, Iterator):
        for value in result:
            replies.value(refuse_awaitable(value, "a generator's next()"))
    return result


def exhaust(result: Any) -> Any:
    """A generator handler runs only while somebody asks for its values."""
    if result is not None and isinstance(result, Iterator):  # asking an ABC takes its time
        for value in result:
            refuse_awaitable(value, "a generator's next()")
    return result
