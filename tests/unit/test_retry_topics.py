"""Later tries from topics of their own: names, headers by Spring's rules, exact times."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import (
    Batch,
    ConfigurationError,
    KafkaContext,
    RetryTopics,
    event_pattern,
    message_pattern,
)
from kafka_patterns import headers as names
from kafka_patterns.failures.retry_topics import original, seconds_until_due
from kafka_patterns.message import Record
from kafka_patterns.patterns import is_own_business
from kafka_patterns.server.handlers import make_handler
from kafka_patterns.server.marks import marks_of
from kafka_patterns.server.routes import Routes
from tests.unit.server_in_fake_time import WALL, ServerInFakeTime
from tests.unit.test_dead_letters import records

TOPIC = "order.paid"
FIRST, SECOND = "order.paid-payments-retry-1", "order.paid-payments-retry-2"
DELAYS = RetryTopics(delays=(1, 10))


class TestValues:
    def test_topics_carry_the_group_and_are_nobody_elses_business(self) -> None:
        made = RetryTopics(delays=(1, 2, 3)).topics("order.paid", "payments")

        assert made == [f"order.paid-payments-retry-{number}" for number in (1, 2, 3)]
        assert all(map(is_own_business, made))

    def test_group_that_makes_no_legal_name_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="cannot be the name of a topic"):
            RetryTopics().topics("order.paid", "my group")

    @pytest.mark.parametrize("delays", [(), (-1,), ("1",), (float("inf"),), (True,), None])
    def test_delays_that_are_none_are_refused(self, delays: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"RetryTopics\.delays"):
            RetryTopics(delays=delays)

    @given(record=records, due=st.floats(0, 1e10), attempt=st.integers(1, 100))
    def test_spring_reads_when_it_is_due(self, record: Record, due: float, attempt: int) -> None:
        letter = DELAYS.letter(
            record, ValueError("no"), topic=FIRST, attempt=attempt, due=due, group="payments"
        )
        found = dict(letter.forms[0].headers)

        def big_integer(name: str) -> int:
            raw = found[name]
            assert raw is not None
            return int.from_bytes(raw, "big", signed=True)

        assert found["retry_topic-attempts"] == struct.pack(">i", attempt + 1)
        assert big_integer("retry_topic-original-timestamp") == record.timestamp
        assert 0 <= big_integer("retry_topic-backoff-timestamp") - due * 1000 < 2

    @given(record=records)
    def test_message_can_be_restored_as_it_was(self, record: Record) -> None:
        letter = DELAYS.letter(
            record, ValueError("no"), topic=FIRST, attempt=1, due=WALL, group="payments"
        )
        (sent,) = letter.forms
        arrived = Record(FIRST, 0, 5, 1, sent.key, sent.value, sent.headers)

        # The retry topic has leaders of its own.
        assert original(arrived, TOPIC) == record._replace(leader_epoch=arrived.leader_epoch)

    def test_message_that_somebody_else_wrote_there_is_taken_as_it_is(self) -> None:
        strange = Record(FIRST, 0, 5, 1, None, b"v", [(names.RETRY_DUE_TIMESTAMP, b"x" * 99)])

        assert original(strange, TOPIC) == strange._replace(topic=TOPIC)
        assert seconds_until_due(strange, WALL, 10) == 0

    @given(raw=st.binary(max_size=10), now=st.floats(0, 1e12))
    def test_no_header_makes_it_wait_longer_than_the_delay(self, raw: bytes, now: float) -> None:
        record = Record(FIRST, 0, 5, 1, None, b"v", [(names.RETRY_DUE_TIMESTAMP, raw)])

        assert 0 <= seconds_until_due(record, now, 10) <= 10


class TestRefusals:
    @pytest.mark.parametrize(
        "mark",
        [
            lambda: message_pattern(TOPIC, retry=DELAYS),  # type: ignore[arg-type]
            lambda: event_pattern(TOPIC, retry=DELAYS, batch=Batch()),
            lambda: event_pattern(__import__("re").compile("order.*"), retry=DELAYS),
        ],
    )
    def test_handlers_that_cannot_have_them(self, mark: Any) -> None:
        with pytest.raises(ConfigurationError, match="RetryTopics"):
            mark()

    def test_second_handler_of_the_topic(self) -> None:
        routes = Routes()

        @event_pattern(TOPIC, retry=DELAYS)
        def one(event: Any) -> None: ...

        @event_pattern(TOPIC)
        def other(event: Any) -> None: ...

        routes.add(make_handler(marks_of(one)[0], one))
        with pytest.raises(ConfigurationError, match="must be its only handler"):
            routes.add(make_handler(marks_of(other)[0], other))

    def test_retry_topic_with_a_handler_of_its_own(self) -> None:
        @event_pattern([TOPIC], retry=DELAYS)
        def one(event: Any) -> None: ...

        @event_pattern(FIRST)
        def other(event: Any) -> None: ...

        with pytest.raises(ConfigurationError, match="has a handler itself"):
            ServerInFakeTime(one, other)


class TestSchedule:
    def failing(self, **options: Any) -> tuple[ServerInFakeTime, list[tuple[float, Any, int]]]:
        tries: list[tuple[float, Any, int]] = []

        @event_pattern(TOPIC, **options)
        def on_paid(event: int, context: KafkaContext) -> None:
            tries.append((server.time.now, event, context.attempt))
            if event == 1:
                raise ValueError("no")

        server = ServerInFakeTime(on_paid)
        return server, tries

    def forward(self, server: ServerInFakeTime, topic: str) -> None:
        """Let the server read what it sent to *topic*."""
        sent = [message for to, message in server.producer.sent if to == topic]
        server.feed(topic, *(m.value for m in sent), headers=sent[0].headers)

    def test_each_try_comes_from_the_next_topic_when_it_is_due(self) -> None:
        server, tries = self.failing(retry=DELAYS)

        server.feed(TOPIC, b"1", b"2")
        server.run()
        assert tries == [(0, 1, 1), (0, 2, 1)]  # nothing waits behind it
        assert server.position(TOPIC) == 2

        self.forward(server, FIRST)
        server.run()
        self.forward(server, SECOND)
        server.run()

        assert tries[2:] == [(1, 1, 2), (11, 1, 3)]
        assert [to for to, _ in server.producer.sent] == [FIRST, SECOND, f"{TOPIC}-dlt"]

    def test_dead_letter_at_the_end_is_the_message_as_it_was(self) -> None:
        server, _ = self.failing(retry=DELAYS)
        mine = [("a", b"1"), ("a", None)]

        server.feed(TOPIC, b"1", headers=[*mine])
        server.run()
        for topic in (FIRST, SECOND):
            self.forward(server, topic)
            server.run()

        letter = server.producer.sent[-1][1]
        assert letter.headers[:2] == mine
        found = dict(letter.headers)
        assert found[names.DLT_ORIGINAL_TOPIC] == TOPIC.encode()
        assert not any(
            name in found for name in names.RETRY_ADDED_NAMES - {names.DLT_ORIGINAL_CONSUMER_GROUP}
        )
        assert [name for name, _ in letter.headers].count(names.DLT_ORIGINAL_CONSUMER_GROUP) == 1

    def test_what_is_not_worth_another_try_is_a_dead_letter_at_once(self) -> None:
        server, _ = self.failing(retry=RetryTopics(delays=(1, 10), unless=ValueError))

        server.feed(TOPIC, b"1", b"unreadable")
        server.run()

        assert [to for to, _ in server.producer.sent] == [f"{TOPIC}-dlt"] * 2

    def test_refused_retry_message_holds_the_lane(self) -> None:
        from kafka_patterns import SendFailed

        server, tries = self.failing(retry=DELAYS)
        server.producer.refuse = lambda topic, message: (
            SendFailed("not now") if server.time.now < 3 else None
        )

        server.feed(TOPIC, b"1")
        server.run(until=2)
        assert server.position(TOPIC) == 0

        server.run()
        assert server.position(TOPIC) == 1
        assert len(tries) == 1
