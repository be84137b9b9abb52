"""What a worker does with a message, and in which order it tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kafka_patterns import event_pattern
from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.batches import BatchDispatcher
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.handlers import make_handler
from kafka_patterns.server.invocation import InvocationMaker
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import Ledger
from kafka_patterns.server.letters import Letters
from kafka_patterns.server.marks import marks_of
from kafka_patterns.server.processing import Books, Processor
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.replier import Replier
from kafka_patterns.server.routes import Routes
from kafka_patterns.server.watch import Watch
from kafka_patterns.server.work import WorkItem

ENTERED = TopicPartition("hero.entered", 0)


class InContact:
    """A membership whose coordinator has just answered."""

    seconds_since_contact = 0.0


class WatchedLanes(Lanes[WorkItem]):
    """Lanes that note how far the books were when an item was worked off."""

    def __init__(self, timers: Timers, ledger: Ledger) -> None:
        super().__init__(timers)
        self._ledger = ledger
        self.positions: list[int] = []

    def done(self, item: WorkItem, count: int = 1) -> None:
        self.positions.append(self._ledger.positions()[ENTERED])
        super().done(item, count)


@pytest.fixture
def timers() -> Iterator[Timers]:
    timers = Timers("test-timers")
    yield timers
    timers.close(5)


@event_pattern(ENTERED.topic)
def entered(event: Any) -> None:
    """Do nothing, and well."""


def make_processor(timers: Timers, ledger: Ledger, lanes: Lanes[WorkItem]) -> Processor:
    counters = Counters()
    membership: Any = InContact()
    nothing: Any = None
    invocations = InvocationMaker(
        Serialization(None, None), nothing, nothing, (), commit=lambda items: True
    )
    replier = Replier(
        nothing,
        Serialization(None, None),
        timers,
        allow=lambda topic: True,
        is_own=lambda topic: False,
        send_timeout=1,
        counters=counters,
    )
    books = Books(ledger, nothing, membership, nothing, auto_commit=True, threshold=None)
    dead_letters = Letters(nothing, counters, send_timeout=1)
    recovery = Recovery(
        ExponentialBackoff(0.1, 1), dead_letters, counters, group="g", on_poison="hold"
    )
    dispatcher = Dispatcher(
        invocations,
        replier,
        timers,
        recovery,
        skip_expired=False,
        reply_ended=books.reply_ended,
        reply_waits=books.reply_waits,
        still_wanted=lambda item: True,
    )
    return Processor(
        dispatcher,
        BatchDispatcher(invocations, dispatcher, recovery),
        lanes,
        books,
        Watch(60),
        counters,
        recovery,
        session_seconds=10,
        fatal=print,
    )


def test_event_is_on_the_books_before_its_lane_is_free(timers: Timers):
    ledger = Ledger(100, 10**6)
    lanes = WatchedLanes(timers, ledger)
    processor = make_processor(timers, ledger, lanes)
    routes = Routes()
    routes.add(make_handler(marks_of(entered)[0], entered))
    route = routes.get(ENTERED.topic)
    assert route is not None
    assigned = ledger.open(ENTERED, OffsetAndMetadata(0))
    records = ledger.accept(
        assigned, [Record(*ENTERED, offset, 0, None, b"{}", []) for offset in range(3)]
    )
    lanes.put([("lane", WorkItem(record, assigned, route)) for record in records])

    for _ in records:
        item = lanes.take()
        assert item is not None
        processor.work(item)

    # A commit that waits until nothing runs, as before a rebalance, must find all of it.
    assert lanes.positions == [1, 2, 3]
