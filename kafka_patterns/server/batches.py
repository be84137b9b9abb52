"""Handlers that take many events at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from itertools import takewhile
from typing import Any

import attrs

from kafka_patterns.errors import BatchItemFailed, PayloadError
from kafka_patterns.failures.policy import RetryAfter
from kafka_patterns.server.deferral import as_deferred, join_outcomes
from kafka_patterns.server.dispatcher import Dispatcher, exhaust, lost_with
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.invocation import Invocation, InvocationMaker
from kafka_patterns.server.outcome import Deferred, Finished, Outcome, RetryLater, Stop
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.work import WorkItem

__all__ = ["BatchDispatcher", "BatchOutcome"]


@attrs.frozen
class BatchOutcome:
    """What became of a batch.

    :param finished: how many of its first messages are through.
    :param rest: what becomes of those after them.
    :param rest_count: how many those are; what is left after them merely runs again.
    """

    finished: int
    rest: Outcome = attrs.field(factory=Finished)
    rest_count: int = 0


class BatchDispatcher:
    """Calls batch handlers; a single bad message goes the way of single events."""

    def __init__(
        self, invocations: InvocationMaker, dispatcher: Dispatcher, recovery: Recovery
    ) -> None:
        self._invocations = invocations
        self._dispatcher = dispatcher
        self._recovery = recovery

    def process(self, items: Sequence[WorkItem], handler: Handler) -> BatchOutcome:
        """Work on *items*, neighbours of one partition; raises nothing that a handler does."""
        return copy_context().run(self._process, items, handler)

    def _process(self, items: Sequence[WorkItem], handler: Handler) -> BatchOutcome:
        parting = list(takewhile(lambda item: _is_parting(item, handler), items))
        if parting:
            left = [item for item in parting if handler in item.letters]
            buried = [as_deferred(self._recovery.bury(item, handler)) for item in left]
            return BatchOutcome(0, join_outcomes(buried, Finished()), len(parting))
        invocations: list[Invocation] = []
        payloads: list[Any] = []
        for item in items:
            if item.lost_tries and invocations:
                break  # it is tried alone
            self._recovery.begin(item)
            invocation = self._invocations.make(
                item, handler, self._dispatcher.conclude_event, expects_reply=False
            )
            if self._recovery.is_beyond_tries(item, handler):
                return self._conclude_one(invocation, lost_with(item))
            try:
                payloads.append(invocation.payload())
            except PayloadError as error:
                if invocations:
                    item.attempt -= 1
                    break  # first those before it
                return self._conclude_one(invocation, error)
            invocations.append(invocation)
        return self._call(invocations, payloads)

    def _call(self, invocations: list[Invocation], payloads: list[Any]) -> BatchOutcome:
        first = invocations[0]
        first.batch = invocations
        try:
            first.within_middleware(lambda: exhaust(first.call_with(payloads, first.context)))
        except BatchItemFailed as failed:
            if not 0 <= failed.index < len(invocations):
                return self._conclude_all(invocations, failed)
            for invocation in invocations[failed.index + 1 :]:
                invocation.item.attempt -= 1  # its turn did not come
            _give_up(invocations[: failed.index])
            one = self._conclude_one(invocations[failed.index], failed.cause_or_itself)
            return attrs.evolve(one, finished=failed.index + one.finished)
        except BaseException as error:  # noqa: BLE001  SystemExit is a failure as any other
            return self._conclude_all(invocations, error)
        if not first.returned:
            _give_up(invocations)
        return BatchOutcome(len(invocations))

    def _conclude_all(self, invocations: list[Invocation], error: BaseException) -> BatchOutcome:
        """The batch failed as a whole: those whose tries are over are given up together."""
        first = invocations[0]
        try:
            exhaust(first.filter(error))
        except BaseException as remaining:  # noqa: BLE001  SystemExit is a failure as any other
            first.log_failure(remaining)
            return self._recover(invocations, remaining)
        _give_up(invocations)
        return BatchOutcome(len(invocations))

    def _recover(self, invocations: list[Invocation], error: BaseException) -> BatchOutcome:
        given_up: list[Deferred] = []
        for count, invocation in enumerate(invocations):
            invocation.wrong_call = invocations[0].wrong_call
            decision = self._recovery.decide(invocation, error)
            if isinstance(decision, RetryAfter):
                if not count:
                    return BatchOutcome(0, RetryLater(error, decision.seconds))
                break  # it came later than those before it, and has tries left
            outcome = self._recovery.give_up(invocation, error, decision.reason)
            if isinstance(outcome, (RetryLater, Stop)):
                return BatchOutcome(0, outcome)
            given_up.append(as_deferred(outcome))
        return BatchOutcome(0, join_outcomes(given_up, Finished()), len(given_up))

    def _conclude_one(self, invocation: Invocation, error: BaseException) -> BatchOutcome:
        """Filters and the policy for unreadable payloads, as for a single event."""

        def fail() -> None:
            raise error

        outcome = self._dispatcher.conclude_event(invocation, fail)
        return BatchOutcome(0, outcome, 1)


def _give_up(invocations: Sequence[Invocation]) -> None:
    """They end without the handler's return."""
    for invocation in invocations:
        invocation.item.given_up = True


def _is_parting(item: WorkItem, handler: Handler) -> bool:
    """Whether *handler* is not called for *item* again, be its dead letter acknowledged or not."""
    return handler in item.letters or handler in item.handled_by
