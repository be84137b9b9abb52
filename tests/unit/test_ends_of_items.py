"""Each message that was accepted is released, once, whatever becomes of it on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_patterns import (
    Batch,
    DeadLetter,
    KafkaContext,
    KafkaRetriableException,
    Retry,
    RetryTopics,
    RpcException,
    event_pattern,
    headers,
    message_pattern,
)
from kafka_patterns.backoff import fixed
from kafka_patterns.errors import SendFailed
from kafka_patterns.message import HeaderPairs, Record, TopicPartition
from kafka_patterns.server.deferral import Acknowledgement
from kafka_patterns.server.ledger import AssignedPartition, Ledger, Released
from tests.unit.server_in_fake_time import ServerInFakeTime

REQUEST: HeaderPairs = [
    (headers.REPLY_TOPIC, b"hero.reply"),
    (headers.REPLY_PARTITION, b"0"),
    (headers.CORRELATION_ID, b"id"),
]

ON_THE_WAY = SendFailed("the broker was away", retriable=True)
FOR_GOOD = SendFailed("the broker refuses it")
TOO_LARGE = SendFailed("the broker refuses it", too_large=True)


class CountingLedger(Ledger):
    """Books that remember what they accepted, and what they were told to release."""

    def __init__(self) -> None:
        super().__init__(1000, 10**6, 1000)
        self.epochs: list[AssignedPartition] = []
        self.accepted: Counter[tuple[int, int]] = Counter()
        self.released: Counter[tuple[int, int]] = Counter()

    def open(self, *arguments: Any, **how: Any) -> AssignedPartition:
        self.epochs.append(super().open(*arguments, **how))
        return self.epochs[-1]

    def accept(self, assigned: AssignedPartition, records: list[Record]) -> list[Record]:
        new = super().accept(assigned, records)
        self.accepted.update((id(assigned), record.offset) for record in new)
        return new

    def release(self, assigned: AssignedPartition, record: Record, **how: Any) -> Released:
        self.released[id(assigned), record.offset] += 1
        return super().release(assigned, record, **how)


class Service:
    """A handler of each kind; the payload says what it does, until the test makes it well."""

    def __init__(self) -> None:
        self.is_well = False
        self.deferred: list[Acknowledgement] = []

    def do(self, payload: Any, context: KafkaContext) -> Any:
        what = "return" if self.is_well else str(payload)
        if what == "raise":
            raise ValueError("no")
        if what == "answer":
            raise RpcException("no")
        if what == "retriable":
            raise KafkaRetriableException("not yet")
        if what == "exit":
            raise SystemExit
        if what == "defer":
            self.deferred.append(context.defer())
        if what == "unwritable":
            return object()
        return self.items(what) if what in ("stream", "broken stream") else what

    def items(self, what: str) -> Iterator[str]:
        yield "one"
        yield "two"
        if what == "broken stream":
            raise ValueError("no")

    def handlers(self) -> list[Callable[..., Any]]:
        retry = Retry(max_attempts=2, backoff=fixed(1))

        @message_pattern("ask")
        def ask(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @message_pattern("ask.again", retry=retry, dead_letter=DeadLetter())
        def ask_again(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @event_pattern("tell")
        def tell(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @event_pattern("tell", retry=retry, dead_letter=DeadLetter(), ordering="key")
        def tell_also(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @event_pattern("tell.key", ordering="key", retry=retry)
        def tell_by_key(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @event_pattern("tell.later", retry=RetryTopics(delays=(1,), create=False))
        def tell_later(payload: Any, context: KafkaContext) -> Any:
            return self.do(payload, context)

        @event_pattern(
            "tell.many", batch=Batch(max_size=4, max_wait=0), retry=retry, dead_letter=DeadLetter()
        )
        def tell_many(payloads: list[Any], context: KafkaContext) -> None:
            for payload in payloads:
                if payload != "defer":
                    self.do(payload, context)

        return [ask, ask_again, tell, tell_also, tell_by_key, tell_later, tell_many]


TOPICS = ["ask", "ask.again", "tell", "tell.key", "tell.later", "tell.many"]
DEEDS = ["return", "raise", "answer", "retriable", "exit", "defer", "unwritable"]
STREAMS = ["stream", "broken stream"]

steps = st.one_of(
    st.tuples(
        st.just("feed"),
        st.sampled_from(TOPICS),
        st.sampled_from(DEEDS + STREAMS),
        st.sampled_from([b"a", b"b"]),
    ),
    st.tuples(
        st.just("end sending"),
        st.integers(0, 3),
        st.sampled_from([None, ON_THE_WAY, FOR_GOOD, TOO_LARGE]),
    ),
    st.tuples(st.just("lose"), st.sampled_from(TOPICS)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 3.0])),
    st.tuples(st.just("acknowledge"), st.integers(0, 3), st.sampled_from([None, ValueError("no")])),
    st.tuples(st.just("stop or go on")),
    st.tuples(st.just("leader goes or comes")),
)


class Story:
    """What happens to a server, step by step."""

    def __init__(self, *, auto_commit: bool = True) -> None:
        self.service = Service()
        self.ledger = CountingLedger()
        self.server = ServerInFakeTime(
            *self.service.handlers(), auto_commit=auto_commit, ledger=self.ledger
        )
        self.refusal: SendFailed | None = None
        self.server.producer.refuse = lambda *_: self.refusal
        self.server.producer.is_slow = True

    def take(self, step: tuple[Any, ...]) -> None:
        deferred = self.service.deferred
        match step:
            case "feed", topic, deed, key:
                pairs = REQUEST if topic.startswith("ask") else []
                self.server.feed(topic, deed.encode(), headers=pairs, key=key)
                self.server.run(self.server.time.now)
            case "end sending", index, error if index < self.server.producer.under_way:
                self.refusal = error
                self.server.producer.end_sending(index)
            case "lose", topic:
                self.server.lose(topic)
            case "wait", seconds:
                self.server.run(self.server.time.now + seconds)
            case "acknowledge", index, error if index < len(deferred):
                self.acknowledge(deferred.pop(index), error)
            case ("leader goes or comes",):
                self.server.producer.leads = not self.server.producer.leads
            case ("stop or go on",):
                self.server.is_stopping = not self.server.is_stopping

    def acknowledge(self, acknowledgement: Acknowledgement, error: Exception | None) -> None:
        if error is None:
            acknowledgement.done("well")
        else:
            acknowledgement.failed(error)

    def end_well(self) -> None:
        """The broker takes everything, and the handlers do what they are asked for."""
        self.refusal = None
        self.server.producer.is_slow = False
        self.service.is_well = True
        while True:
            self.server.run()
            if self.server.producer.under_way:
                self.server.producer.end_sending()
            elif self.service.deferred:
                self.service.deferred.pop().done()
            else:
                return


@given(story=st.lists(steps, max_size=30), auto_commit=st.booleans())
@settings(deadline=None, max_examples=150)
def test_what_was_accepted_is_released_once_on_every_path(
    story: list[tuple[Any, ...]], *, auto_commit: bool
) -> None:
    told = Story(auto_commit=auto_commit)

    for step in story:
        told.take(step)
    told.end_well()

    ledger = told.ledger
    assert ledger.released == ledger.accepted
    assert ledger.held == 0
    assert [(one.held, one.held_bytes, one.aside) for one in ledger.epochs] == [
        (0, 0, 0) for _ in ledger.epochs
    ]


def test_reply_that_fails_for_a_lost_partition_leaves_room_for_others() -> None:
    told = Story()
    for _ in range(1000):
        told.server.feed("ask", b"return", headers=REQUEST)
    told.server.run(0)

    told.server.lose("ask")
    told.refusal = ON_THE_WAY
    while told.server.producer.under_way:
        told.server.producer.end_sending()

    partition = TopicPartition("ask", 0)
    told.server.feed("ask", b"return", headers=REQUEST)  # opens it anew
    room = told.ledger.room(told.ledger.epochs[-1])
    assert (told.ledger.held, room.records) == (1, 999)
    assert told.server.counters.snapshot()["replies_abandoned"] == 1000
    assert partition in told.ledger.partitions
