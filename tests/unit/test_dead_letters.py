"""Dead letters: what they carry, by Spring's rules, and that none is lost on its way."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import (
    Batch,
    ConfigurationError,
    DeadLetter,
    DeadLetterRecord,
    KafkaContext,
    Retry,
    RpcException,
    SendFailed,
    event_pattern,
    fixed,
    message_pattern,
)
from kafka_patterns import headers as names
from kafka_patterns.message import EncodedMessage, HeaderPairs, Record
from tests.unit.server_in_fake_time import ServerInFakeTime

TOPIC = "order.paid"
DLT = "order.paid-dlt"
REQUEST: HeaderPairs = [(names.CORRELATION_ID, b"1"), (names.REPLY_TOPIC, b"order.paid.reply")]
ONCE = Retry(max_attempts=1)

header_pairs = st.lists(
    st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=6
)
records = st.builds(
    Record,
    topic=st.just(TOPIC),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.integers(-1, 2**63 - 1),
    key=st.none() | st.binary(max_size=5),
    value=st.none() | st.binary(max_size=5),
    headers=header_pairs,
    unreadable=st.none(),
    timestamp_type=st.sampled_from([0, 1]),
)


def raised(error: ValueError) -> ValueError:
    try:
        raise error
    except ValueError as caught:
        return caught


def letter(record: Record, error: ValueError | None = None, **options: Any) -> EncodedMessage:
    made = DeadLetter(**options).letter(record, raised(error or ValueError("no")), "payments")
    return made.forms[0]


def origin(found: DeadLetterRecord) -> tuple[Any, ...]:
    place = (found.original_topic, found.original_partition, found.original_offset)
    return (*place, found.consumer_group, found.exception)


RECORD = Record(TOPIC, 3, 7, 1_600_000_000_000, b"k", b"v", [("a", b"1"), ("a", None)])


class TestLetters:
    @given(record=records)
    def test_spring_reads_where_it_came_from(self, record: Record) -> None:
        """``ByteBuffer.getInt`` and ``getLong`` are big-endian; texts are UTF-8."""
        found = dict(letter(record).headers)

        def number(name: str, form: str) -> int:
            raw = found[name]
            assert raw is not None
            (value,) = struct.unpack(form, raw)
            return int(value)

        assert found["kafka_dlt-original-topic"] == TOPIC.encode()
        assert number("kafka_dlt-original-partition", ">i") == record.partition
        assert number("kafka_dlt-original-offset", ">q") == record.offset
        assert number("kafka_dlt-original-timestamp", ">q") == record.timestamp
        kind = found["kafka_dlt-original-timestamp-type"]
        assert kind == (b"LogAppendTime" if record.timestamp_type else b"CreateTime")
        assert found["kafka_dlt-original-consumer-group"] == b"payments"
        assert found["kafka_dlt-exception-fqcn"] == b"builtins.ValueError"
        assert found["kafka_dlt-exception-message"] == b"no"
        trace = found["kafka_dlt-exception-stacktrace"]
        assert trace is not None
        assert trace.startswith(b"Traceback")
        assert trace.endswith(b"ValueError: no\n")

    @given(record=records)
    def test_all_forms_carry_the_message_as_it_was(self, record: Record) -> None:
        for form in DeadLetter().letter(record, ValueError("no"), "payments").forms:
            assert (form.key, form.value) == (record.key, record.value)
            assert form.headers[: len(record.headers)] == record.headers

    def test_forms_shed_the_trace_and_then_all_that_was_added(self) -> None:
        full, without_trace, bare = DeadLetter().letter(RECORD, ValueError("no"), "payments").forms

        assert [pair for pair in full.headers if "stacktrace" not in pair[0]] == (
            without_trace.headers
        )
        assert bare.headers == RECORD.headers

    def test_text_and_trace_can_be_left_out(self) -> None:
        def secret() -> None:
            raise ValueError("secret")

        with pytest.raises(ValueError, match="secret") as caught:
            secret()
        choices: list[dict[str, Any]] = [{"include_message": False}, {"include_trace": False}]
        for options in choices:
            made = DeadLetter(**options).letter(RECORD, caught.value, "payments").forms[0]
            found = dict(made.headers)
            assert (names.DLT_EXCEPTION_MESSAGE in found) == ("include_trace" in options)
            assert (names.DLT_EXCEPTION_STACKTRACE in found) == ("include_message" in options)
            if "include_message" in options:
                assert b"secret'" not in b"".join(value or b"" for value in found.values())

    @given(text=st.text(max_size=200), size=st.integers(1, 50))
    def test_text_and_trace_are_cut_to_the_bound(self, text: str, size: int) -> None:
        found = dict(letter(RECORD, ValueError(text), max_trace_bytes=size).headers)

        for name in (names.DLT_EXCEPTION_MESSAGE, names.DLT_EXCEPTION_STACKTRACE):
            value = found[name]
            assert value is not None
            assert len(value) <= size
            value.decode()

    def test_cause_is_named(self) -> None:
        error = ValueError("no")
        error.__cause__ = KeyError("because")

        assert dict(letter(RECORD, error).headers)[names.DLT_EXCEPTION_CAUSE_FQCN] == (
            b"builtins.KeyError"
        )

    def test_exception_of_an_earlier_dead_letter_is_replaced(self) -> None:
        again = RECORD._replace(headers=letter(RECORD).headers)

        exceptions = [pair for pair in letter(again).headers if pair[0] == names.DLT_EXCEPTION_FQCN]

        assert len(exceptions) == 1

    @pytest.mark.parametrize("form", range(3))
    def test_sender_does_not_say_where_it_came_from(self, form: int) -> None:
        said: HeaderPairs = [
            *((names.DLT_ORIGINAL_TOPIC, b"payments.execute"), ("realm", b"Nest")),
            *((names.DLT_ORIGINAL_PARTITION, struct.pack(">i", 9)), ("realm", b"Nest")),
            *((names.DLT_ORIGINAL_OFFSET, struct.pack(">q", 9)), (names.DLT_ORIGINAL_TOPIC, b"x")),
            *((names.DLT_ORIGINAL_CONSUMER_GROUP, b"x"), (names.DLT_EXCEPTION_FQCN, b"x")),
        ]
        forged = RECORD._replace(headers=said)

        sent = DeadLetter().letter(forged, raised(ValueError("no")), "payments").forms[form]
        found = DeadLetterRecord.of(RECORD._replace(topic=DLT, headers=sent.headers))

        expected = (TOPIC, 3, 7, "payments", "builtins.ValueError")
        assert origin(found) == (expected if form < 2 else (None,) * 5)
        assert found.headers == [("realm", b"Nest"), ("realm", b"Nest")]

    @pytest.mark.parametrize("topic", [DLT, "order.paid.DLT", "parked"])
    def test_dead_letter_of_a_dead_letter_came_from_where_the_first_came_from(
        self, topic: str
    ) -> None:
        dead = RECORD._replace(topic=topic, partition=0, offset=1, headers=letter(RECORD).headers)
        forms = (
            DeadLetter(topic="buried")
            .letter(dead, raised(ValueError("again")), "others", was_dead=topic == "parked")
            .forms
        )

        for form in forms:
            found = DeadLetterRecord.of(dead._replace(topic="buried", headers=form.headers))
            assert origin(found) == (TOPIC, 3, 7, "payments", "builtins.ValueError")

    def test_letter_that_somebody_made_by_hand_came_from_its_dead_letter_topic(self) -> None:
        dead = RECORD._replace(topic=DLT)
        found = dict(letter(dead, topic="buried").headers)

        assert found[names.DLT_ORIGINAL_TOPIC] == DLT.encode()

    def test_same_partition_is_wished_for(self) -> None:
        assert (letter(RECORD).partition, letter(RECORD).partition_is_wish) == (3, True)
        assert letter(RECORD, partition=1).partition == 1


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [{"topic": "not legal"}, {"partition": -1}, {"max_trace_bytes": 0}, {"partition": "1"}],
    )
    def test_options_that_cannot_be(self, options: Any) -> None:
        with pytest.raises(ConfigurationError):
            DeadLetter(**options)

    @pytest.mark.parametrize(
        ("topic", "dead_letter"),
        [("x-dlt", DeadLetter()), ("x", DeadLetter(topic="x")), ("x" * 248, DeadLetter())],
    )
    def test_circle_or_name_that_cannot_be(self, topic: str, dead_letter: DeadLetter) -> None:
        with pytest.raises(ConfigurationError):
            event_pattern(topic, dead_letter=dead_letter)(print)

    def test_handler_of_dead_letters_may_name_a_topic_for_its_own(self) -> None:
        event_pattern("x-dlt", dead_letter=DeadLetter(topic="x-parked"))(lambda event: None)


def failing(**options: Any) -> tuple[ServerInFakeTime, list[float]]:
    tried_at: list[float] = []

    @event_pattern(TOPIC, **options)
    def on_paid(event: int, context: KafkaContext) -> None:
        tried_at.append(server.time.now)
        raise ValueError(event)

    server = ServerInFakeTime(on_paid)
    return server, tried_at


def refuse_until(server: ServerInFakeTime, when: float) -> None:
    def refuse(topic: str, message: EncodedMessage) -> SendFailed | None:
        if topic == DLT and server.time.now < when:
            return SendFailed("not authorized")
        return None

    server.producer.refuse = refuse


class TestEvents:
    def test_given_up_event_goes_to_the_dead_letters(self) -> None:
        server, tried_at = failing(
            retry=Retry(max_attempts=3, backoff=fixed(2)), dead_letter=DeadLetter()
        )

        server.feed(TOPIC, b"1", b"2")
        server.run()

        assert tried_at == [0, 2, 4, 4, 6, 8]
        assert [(topic, message.value) for topic, message in server.producer.sent] == [
            (DLT, b"1"),
            (DLT, b"2"),
        ]
        assert server.position(TOPIC) == 2

    def test_without_a_policy_five_attempts_come_before(self) -> None:
        server, tried_at = failing(dead_letter=DeadLetter())

        server.feed(TOPIC, b"1")
        server.run()

        assert tried_at == [0, 1, 3, 7, 15]

    def test_unreadable_payload_goes_there_at_once(self) -> None:
        server, tried_at = failing(dead_letter=DeadLetter())

        server.feed(TOPIC, b'{"no":"int"}', b'{"broken', None)
        server.run()

        assert tried_at == []
        assert [message.value for _, message in server.producer.sent] == [
            b'{"no":"int"}',
            b'{"broken',
            None,
        ]

    def test_refused_dead_letter_holds_the_lane_and_the_handler_is_not_called_again(self) -> None:
        server, tried_at = failing(retry=ONCE, dead_letter=DeadLetter())
        refuse_until(server, 10)

        server.feed(TOPIC, b"1", b"2")
        server.run(until=9)

        assert server.position(TOPIC) == 0
        assert tried_at == [0]
        assert isinstance(server.letters.last_error, SendFailed)
        assert server.lanes.waiting == 1

        server.run()

        assert [message.value for _, message in server.producer.sent] == [b"1", b"2"]
        assert len(tried_at) == 2
        assert server.position(TOPIC) == 2
        assert server.letters.last_error is None

    def test_what_is_given_up_is_finished_also_if_handlers_commit_by_hand(self) -> None:
        @event_pattern(TOPIC, retry=ONCE, dead_letter=DeadLetter())
        def on_paid(event: int) -> None:
            if event == 1:
                raise ValueError(event)

        server = ServerInFakeTime(on_paid, auto_commit=False)
        server.feed(TOPIC, b"1", b"2")
        server.run()

        assert server.position(TOPIC) == 1

    def test_too_large_one_sheds_what_was_added(self) -> None:
        server, _ = failing(retry=ONCE, dead_letter=DeadLetter())

        def refuse(topic: str, message: EncodedMessage) -> SendFailed | None:
            if message.headers:
                return SendFailed("too large", too_large=True)
            return None

        server.producer.refuse = refuse
        server.feed(TOPIC, b"1")
        server.run()

        assert [message.headers for _, message in server.producer.sent] == [[]]
        assert server.position(TOPIC) == 1


class TestRequests:
    def request(self, error: Exception, **options: Any) -> ServerInFakeTime:
        @message_pattern(TOPIC, dead_letter=DeadLetter(), **options)
        def on_pay(payload: Any) -> None:
            raise error

        server = ServerInFakeTime(on_pay)
        refuse_until(server, 5)
        server.feed(TOPIC, b"1", headers=REQUEST)
        return server

    def test_caller_gets_the_error_at_once_and_only_once(self) -> None:
        server = self.request(ValueError("no"))

        server.run(until=0)
        assert [topic for topic, _ in server.producer.sent] == ["order.paid.reply"]
        assert server.position(TOPIC) == 0

        server.run()
        assert [topic for topic, _ in server.producer.sent] == ["order.paid.reply", DLT]
        assert server.position(TOPIC) == 1

    def test_error_that_is_an_answer_is_no_dead_letter(self) -> None:
        server = self.request(RpcException("not found"), retry=Retry())

        server.run()

        assert [topic for topic, _ in server.producer.sent] == ["order.paid.reply"]
        assert server.position(TOPIC) == 1

    def test_stream_that_broke_off_is_a_dead_letter(self) -> None:
        @message_pattern(TOPIC, dead_letter=DeadLetter(), retry=Retry())
        def story(payload: Any) -> Any:
            yield "a"
            raise ValueError("lost the thread")

        server = ServerInFakeTime(story)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        topics = [topic for topic, _ in server.producer.sent]
        assert topics == ["order.paid.reply", "order.paid.reply", DLT]
        assert server.position(TOPIC) == 1


class TestBatches:
    def test_each_message_of_a_failed_batch_goes_there_once(self) -> None:
        calls: list[list[int]] = []

        @event_pattern(
            TOPIC, batch=Batch(max_size=3, max_wait=0), retry=ONCE, dead_letter=DeadLetter()
        )
        def on_paid(batch: list[int]) -> None:
            calls.append(batch)
            raise ValueError("all of it")

        server = ServerInFakeTime(on_paid)
        refused: list[bytes | None] = []

        def refuse(topic: str, message: EncodedMessage) -> SendFailed | None:
            if message.value == b"2" and len(refused) < 3:
                refused.append(message.value)
                return SendFailed("not now")
            return None

        server.producer.refuse = refuse
        server.feed(TOPIC, b"1", b"2", b"3", b"4")
        server.run()

        assert calls == [[1, 2, 3], [4]]
        assert [message.value for _, message in server.producer.sent] == [b"1", b"3", b"2", b"4"]
        assert server.position(TOPIC) == 4

    def test_unreadable_message_goes_there_and_the_others_go_on(self) -> None:
        seen: list[int] = []

        @event_pattern(TOPIC, batch=Batch(max_size=3, max_wait=0), dead_letter=DeadLetter())
        def on_paid(batch: list[int]) -> None:
            seen.extend(batch)

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1", b"poison", b"3")
        server.run()

        assert seen == [1, 3]
        assert [message.value for _, message in server.producer.sent] == [b"poison"]
        assert server.position(TOPIC) == 3
