"""Handlers that take many events at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kafka_patterns.errors import BatchItemFailed, ConfigurationError, PayloadError
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.handlers import Handler, element_annotation
from kafka_patterns.server.invocation import Invocation, InvocationMaker
from kafka_patterns.server.outcome import Finished, Outcome, Retry
from kafka_patterns.server.work import WorkItem

__all__ = ["BatchDispatcher", "BatchOutcome"]


@attrs.frozen
class BatchOutcome:
    """What became of a batch.

    :param finished: how many of its first messages are through.
    :param rest: what becomes of the next one; ``Finished`` if it merely runs again.
    """

    finished: int
    rest: Outcome = attrs.field(factory=Finished)


class BatchDispatcher:
    """Calls batch handlers; a single bad message goes the way of single events."""

    def __init__(self, invocations: InvocationMaker, dispatcher: Dispatcher) -> None:
        self._invocations = invocations
        self._dispatcher = dispatcher

    def process(self, items: Sequence[WorkItem], handler: Handler) -> BatchOutcome:
        """Work on *items*, neighbours of one partition; never raises an ``Exception``."""
        annotation = element_annotation(handler)
        invocations: list[Invocation] = []
        payloads: list[Any] = []
        for item in items:
            item.attempt += 1
            invocation = self._invocations.make(
                item, handler, _cannot_be_deferred, expects_reply=False
            )
            try:
                payloads.append(invocation.payload(annotation))
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
        handler = first.handler
        try:
            first.within_middleware(
                lambda: handler.binding.call(handler.function, payloads, first.context)
            )
        except BatchItemFailed as failed:
            if not 0 <= failed.index < len(invocations):
                return self._conclude_one(first, failed)
            one = self._conclude_one(invocations[failed.index], failed.cause_or_itself)
            return BatchOutcome(failed.index + one.finished, one.rest)
        except Exception as error:  # noqa: BLE001  handlers may raise anything
            one = self._conclude_one(first, error)
            return one if isinstance(one.rest, Retry) else BatchOutcome(len(invocations))
        return BatchOutcome(len(invocations))

    def _conclude_one(self, invocation: Invocation, error: Exception) -> BatchOutcome:
        """Filters and the policy for unreadable payloads, as for a single event."""

        def fail() -> None:
            raise error

        outcome = self._dispatcher.conclude_event(invocation, fail)
        if isinstance(outcome, Finished):
            return BatchOutcome(1)
        return BatchOutcome(0, outcome)


def _cannot_be_deferred(invocation: Invocation, _produce: Any) -> Outcome:
    raise ConfigurationError(f"batch handler {invocation.handler.name}: a batch cannot be deferred")
