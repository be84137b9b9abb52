"""Payloads become requests with a return address, and events with nothing added."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import headers
from kafka_patterns.client.correlation_ids import CorrelationIds
from kafka_patterns.client.requests import RequestWriter, with_headers
from kafka_patterns.errors import ConfigurationError, PayloadError
from kafka_patterns.message import EncodedMessage, Message, TopicPartition
from kafka_patterns.serialization.registry import Serialization

NAMES = st.sampled_from(["a", "b", "c", "d"])
PAIRS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=3)), max_size=6)
ADDED = st.dictionaries(NAMES, st.binary(max_size=3)).map(lambda added: list(added.items()))


@pytest.fixture
def writer() -> RequestWriter:
    return RequestWriter(Serialization(None, None))


class TestWithHeaders:
    @given(pairs=PAIRS, added=ADDED)
    def test_each_added_header_is_there_once_with_its_value(self, pairs, added) -> None:
        result = with_headers(pairs, added)

        for name, value in added:
            assert [pair for pair in result if pair[0] == name] == [(name, value)]

    @given(pairs=PAIRS, added=ADDED)
    def test_other_headers_stay_in_their_order(self, pairs, added) -> None:
        names = {name for name, _ in added}

        result = with_headers(pairs, added)

        untouched = [pair for pair in pairs if pair[0] not in names]
        assert [pair for pair in result if pair[0] not in names] == untouched

    @given(pairs=PAIRS, added=ADDED)
    def test_given_lists_are_not_changed(self, pairs, added) -> None:
        before = (list(pairs), list(added))

        result = with_headers(pairs, added)
        result.append(("later", b""))

        assert (pairs, added) == before

    def test_name_of_the_user_is_overwritten_in_its_place(self) -> None:
        pairs = [("x", b"1"), ("id", b"theirs"), ("y", None), ("id", b"again")]

        result = with_headers(pairs, [("id", b"ours"), ("to", b"here")])

        assert result == [("x", b"1"), ("id", b"ours"), ("y", None), ("to", b"here")]

    def test_new_names_follow_in_the_order_given(self) -> None:
        assert with_headers([("x", b"1")], [("b", b"2"), ("a", b"3")]) == [
            ("x", b"1"),
            ("b", b"2"),
            ("a", b"3"),
        ]


class TestWriter:
    def test_request_carries_its_return_address(self, writer) -> None:
        request = writer.request(
            EncodedMessage(value=b"v", key=b"k", headers=[("h", b"1")], partition=2, timestamp=7),
            b"abc",
            TopicPartition("hero.reply", 3),
            1_700_000_000.1239,
        )

        *pairs, deadline = request.headers
        assert pairs == [
            ("h", b"1"),
            (headers.CORRELATION_ID, b"abc"),
            (headers.REPLY_TOPIC, b"hero.reply"),
            (headers.REPLY_PARTITION, b"3"),
        ]
        assert deadline == (headers.DEADLINE, b"1700000000123")
        assert (request.value, request.key) == (b"v", b"k")
        assert (request.partition, request.timestamp) == (2, 7)

    def test_event_carries_only_the_headers_of_the_user(self, writer) -> None:
        event = writer.event("hero", Message(value={"x": 1}, headers={"h": "1"}))

        assert event.headers == [("h", b"1")]
        assert event.value == b'{"x":1}'

    def test_null_is_a_kafka_null(self, writer) -> None:
        assert writer.event("hero", None).value is None

    def test_payload_that_cannot_be_written_is_refused(self, writer) -> None:
        with pytest.raises(PayloadError):
            writer.event("hero", object())

    @pytest.mark.parametrize("pattern", [None, "", "a b", {"cmd": "x"}, "x" * 250])
    def test_pattern_without_a_legal_topic_is_refused(self, writer, pattern) -> None:
        with pytest.raises(ConfigurationError):
            writer.topic(pattern)


class TestIdempotencyKey:
    @pytest.mark.parametrize(("key", "raw"), [("Bücher", "Bücher".encode()), (b"\xff", b"\xff")])
    def test_key_is_a_header(self, writer, key, raw) -> None:
        message = Message(value="x", headers={"h": "1", headers.IDEMPOTENCY_KEY: "of the headers"})

        event = writer.event("hero", message, key)

        assert event.headers == [("h", b"1"), (headers.IDEMPOTENCY_KEY, raw)]

    @pytest.mark.parametrize("key", ["", b"", 5])
    def test_key_that_names_nothing_is_refused(self, writer, key) -> None:
        with pytest.raises(PayloadError, match="idempotency_key"):
            writer.event("hero", "x", key)


class TestCorrelationIds:
    def test_they_look_like_those_of_nestjs_and_differ(self) -> None:
        made = CorrelationIds()
        ids = {made.new() for _ in range(1000)}

        assert len(ids) == 1000
        assert all(re.fullmatch(rb"[0-9a-f]{21}", one) for one in ids)

    def test_each_instance_knows_its_own(self) -> None:
        first, second = CorrelationIds(), CorrelationIds()

        assert first.origin(first.new()) == "late"
        assert first.origin(second.new()) == "of_others"

    @pytest.mark.parametrize("foreign", [None, b"", b"x" * 21, bytes(16), b"a" * 22])
    def test_what_has_another_form_is_unknown(self, foreign) -> None:
        assert CorrelationIds().origin(foreign) == "unknown"
