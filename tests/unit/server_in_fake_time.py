"""The working parts of a server, without a broker, in a time that the test moves on."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from kafka_patterns.backoff import exponential
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.errors import SendFailed
from kafka_patterns.message import (
    EncodedMessage,
    HeaderPairs,
    OffsetAndMetadata,
    Record,
    RecordMetadata,
    TopicPartition,
)
from kafka_patterns.middleware.chain import MiddlewareChain
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.batches import BatchDispatcher
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.handlers import make_handler
from kafka_patterns.server.invocation import InvocationMaker
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.letters import Letters
from kafka_patterns.server.marks import marks_of
from kafka_patterns.server.processing import Books, Processor
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.replier import Replier
from kafka_patterns.server.routes import Route, Routes
from kafka_patterns.server.watch import Watch
from kafka_patterns.server.work import WorkItem

WALL = 1_700_000_000.0
"""The wall clock when the fake time is 0."""


class FakeTime:
    """A clock and timers; nothing happens unless the test moves it on."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def clock(self) -> float:
        return self.now

    def wall_clock(self) -> float:
        return WALL + self.now

    def after(self, delay: float, function: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._order), function))

    def at(self, due: float, function: Callable[[], object]) -> None:
        self.after(max(0.0, due - time.monotonic()), function)

    def move_on(self, until: float) -> bool:
        """Go to the next timer and run it; ``False`` if there is none before *until*."""
        if not self._due or self._due[0][0] > until:
            return False
        self.now, _, function = heapq.heappop(self._due)
        function()
        return True


class FakeProducer:
    """Takes what is sent, unless the test says otherwise."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, EncodedMessage]] = []
        self.refuse: Callable[[str, EncodedMessage], SendFailed | None] = lambda *_: None
        self.leads = True  # whether messages can go
        self.is_slow = False  # whether what is sent ends only when the test says so
        self._under_way: list[tuple[str, EncodedMessage, Future[Any]]] = []

    def has_leader(self, topic: str, partition: int | None) -> bool:
        return self.leads

    def send(
        self,
        topic: str,
        message: EncodedMessage,
        *,
        timeout: float,
        missing_timeout: float | None = None,
    ) -> Future[Any]:
        future: Future[Any] = Future()
        self._under_way.append((topic, message, future))
        if not self.is_slow:
            self.end_sending(-1)
        return future

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def end_sending(self, index: int = 0) -> None:
        """One of the messages under way ends."""
        topic, message, future = self._under_way.pop(index)
        error = self.refuse(topic, message)
        if error is None:
            self.sent.append((topic, message))
            future.set_result(RecordMetadata(topic, 0, len(self.sent), 0))
        else:
            future.set_exception(error)

    def partitions(self, topic: str) -> list[int]:
        return [0]


class InContact:
    """A membership whose coordinator has just answered."""

    seconds_since_contact = 0.0


class Fetcher:
    """Nothing waits to be woken."""

    def wake(self) -> None:
        pass


class ServerInFakeTime:
    """Handlers, lanes and books; the test feeds records and moves the time on."""

    def __init__(
        self,
        *handlers: Callable[..., Any],
        on_poison: str = "hold",
        auto_commit: bool = True,
        ledger: Ledger | None = None,
        routes: Routes | None = None,
        serialization: Serialization | None = None,
        middleware: Sequence[Any] = (),
        filters: Sequence[Any] = (),
        allow_reply_topic: Callable[[str], Any] = lambda topic: True,
        skip_expired: bool = False,
    ) -> None:
        self.time = FakeTime()
        self.producer = FakeProducer()
        self.counters = Counters()
        self.routes = Routes() if routes is None else routes
        serialization = serialization or Serialization(None, None)
        for function in handlers:
            for mark in marks_of(function):
                self.routes.add(make_handler(mark, function))
        self.routes.open_retry_topics("payments")
        timers: Any = self.time
        nothing: Any = None
        membership: Any = InContact()
        self.ledger = ledger or Ledger(1000, 10**6)
        self.lanes: Lanes[WorkItem] = Lanes(
            timers,
            set_aside=self._set_aside,
            take_back=self._take_back,
        )
        self.is_stopping = False
        self._assigned: dict[TopicPartition, AssignedPartition] = {}
        fetcher: Any = Fetcher()
        books = Books(self.ledger, nothing, membership, fetcher, auto_commit, threshold=None)
        self._books = books
        invocations = InvocationMaker(
            serialization,
            nothing,
            nothing,
            tuple(filters),
            commit=self._commit,
            middleware=MiddlewareChain(middleware) or None,
        )
        producer: Any = self.producer
        replier = Replier(
            producer,
            serialization,
            timers,
            allow=allow_reply_topic,
            is_own=lambda topic: False,
            send_timeout=1,
            counters=self.counters,
        )
        self.letters = Letters(producer, self.counters, send_timeout=1)
        self.recovery = Recovery(
            exponential(1, maximum=8, jitter=0),
            self.letters,
            self.counters,
            group="payments",
            on_poison=on_poison,
            clock=self.time.clock,
            wall_clock=self.time.wall_clock,
        )
        dispatcher = Dispatcher(
            invocations,
            replier,
            timers,
            self.recovery,
            skip_expired=skip_expired,
            reply_ended=books.reply_ended,
            reply_waits=books.reply_waits,
            still_wanted=lambda item: not item.assigned.lost and not self.is_stopping,
        )
        self.fatal: list[BaseException] = []
        self._processor = Processor(
            dispatcher,
            BatchDispatcher(invocations, dispatcher, self.recovery),
            self.lanes,
            books,
            Watch(60),
            self.counters,
            self.recovery,
            session_seconds=10,
            fatal=self.fatal.append,
        )

    def feed(
        self,
        topic: str,
        *values: bytes | None,
        headers: HeaderPairs | None = None,
        key: bytes = b"key",
    ) -> None:
        """Records of partition 0 of *topic*, all in one lane."""
        route = self.routes.get(topic)
        assert route is not None
        assigned = self._assigned.get(TopicPartition(topic, 0))
        if assigned is None:
            assigned = self.ledger.open(TopicPartition(topic, 0), OffsetAndMetadata(0))
            self._assigned[assigned.partition] = assigned
        first = assigned.tracker.next_offset
        records = [
            Record(topic, 0, first + index, 1_600_000_000_000, key, value, headers or [])
            for index, value in enumerate(values)
        ]
        new = self.ledger.accept(assigned, records)
        passes = route.ordering(None) != "partition"
        lane = (assigned, key if passes else None)
        self.lanes.put([(lane, WorkItem(record, assigned, route, passes)) for record in new])

    def _set_aside(self, items: Iterable[WorkItem]) -> None:
        self._books.set_aside(items)

    def _take_back(self, items: Iterable[WorkItem]) -> None:
        self._books.take_back(items)

    def lose(self, topic: str) -> None:
        """Partition 0 of *topic* goes to another member."""
        self._assigned.pop(TopicPartition(topic, 0), None)
        self.ledger.close([TopicPartition(topic, 0)])
        for item in self.lanes.drop(lambda item: item.assigned.lost):
            self._books.free(item)

    def run(self, until: float = 1e9) -> None:
        """Work, and move the time on, until nothing is left to do or it is *until*."""
        self._work()
        while self.time.move_on(until):
            self._work()

    def _work(self) -> None:
        worked = True
        while worked:
            worked = False
            marker: Any = WorkItem(NO_RECORD, NOBODY, NO_ROUTE)
            self.lanes.put([(None, marker)])
            while (item := self.lanes.take()) is not marker:
                assert item is not None
                self._processor.work(item)
                worked = True
            self.lanes.done(item)

    def _commit(self, items: Sequence[WorkItem]) -> bool:
        for item in items:
            self.ledger.finish(item.assigned, item.record)
        return True

    def position(self, topic: str) -> int:
        """What may be committed."""
        return self.ledger.positions()[TopicPartition(topic, 0)]


NO_RECORD: Any = None
NOBODY: Any = None
NO_ROUTE = Route("nowhere")
