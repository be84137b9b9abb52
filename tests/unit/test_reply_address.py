"""Where a caller wants its reply, as NestJS and as Spring write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import headers
from kafka_patterns.message import EncodedMessage, HeaderPairs, Record
from kafka_patterns.server.context import read_deadline, read_id
from kafka_patterns.server.replier import disposed
from kafka_patterns.server.reply_address import (
    ReplyAddress,
    default_allow_reply_topic,
    read_address,
)


def request(*pairs: tuple[str, bytes | None]) -> Record:
    return Record("hero", 0, 0, 0, None, None, list(pairs))


def partition_of(header: bytes | None) -> int | None:
    address = read_address(
        request(
            (headers.CORRELATION_ID, b"id"),
            (headers.REPLY_TOPIC, b"hero.reply"),
            (headers.REPLY_PARTITION, header),
        )
    )
    assert address is not None
    return address.partition


class TestPartition:
    @pytest.mark.parametrize(
        ("header", "partition"),
        [
            (b"0", 0),
            (b"2", 2),
            (b"007", 7),
            (b"123456789", 123_456_789),
            (b"1234", 1234),
            (b"\x00\x00\x00\x00", 0),
            (b"\x00\x00\x00\x02", 2),
            (b"\x7f\xff\xff\xff", 2**31 - 1),
            (b"\x00\x00\x30\x31", 0x3031),
        ],
    )
    def test_digits_are_decimal_and_four_bytes_are_big_endian(
        self, header: bytes, partition: int
    ) -> None:
        assert partition_of(header) == partition

    @pytest.mark.parametrize(
        "header",
        [
            None,
            b"",
            b"-1",
            b" 2",
            b"2x",
            b"1.9",
            b"abc",
            b"1e3",
            b"\xff\xff\xff\xff",
            b"\x80\x00\x00\x00",
            b"\x00\x00\x02",
            b"\x00\x00\x00\x00\x02",
            b"1234567890",
            b"9" * 1_000_000,
            "٣".encode(),
        ],
    )
    def test_anything_else_is_no_partition(self, header: bytes | None) -> None:
        assert partition_of(header) is None

    @given(number=st.integers(0, 999_999_999))
    def test_every_partition_comes_back_from_nestjs(self, number) -> None:
        assert partition_of(b"%d" % number) == number

    @given(junk=st.binary(max_size=12))
    def test_junk_is_a_partition_that_kafka_could_have_or_none(self, junk) -> None:
        partition = partition_of(junk)

        assert partition is None or 0 <= partition < 2**31


class TestAddress:
    def test_whole_address(self) -> None:
        address = read_address(
            request(
                ("x", b"1"),
                (headers.CORRELATION_ID, b"\x01\xff"),
                (headers.REPLY_TOPIC, b"hero.reply"),
            )
        )

        assert address == ReplyAddress("hero.reply", None, b"\x01\xff")

    @pytest.mark.parametrize(
        "pairs",
        [
            [],
            [(headers.CORRELATION_ID, b"id")],
            [(headers.REPLY_TOPIC, b"hero.reply")],
            [(headers.CORRELATION_ID, b""), (headers.REPLY_TOPIC, b"hero.reply")],
            [(headers.CORRELATION_ID, b"id"), (headers.REPLY_TOPIC, b"")],
            [(headers.CORRELATION_ID, None), (headers.REPLY_TOPIC, b"hero.reply")],
            [(headers.CORRELATION_ID, b"id"), (headers.REPLY_TOPIC, None)],
        ],
    )
    def test_record_without_a_whole_address_is_an_event(self, pairs: HeaderPairs) -> None:
        assert read_address(request(*pairs)) is None

    def test_topic_that_is_no_text_is_read_all_the_same(self) -> None:
        address = read_address(
            request((headers.CORRELATION_ID, b"id"), (headers.REPLY_TOPIC, b"\xff.reply"))
        )

        assert address is not None
        assert address.topic == "\ufffd.reply"

    @pytest.mark.parametrize(
        ("topic", "allowed"),
        [("hero.reply", True), ("hero", False), ("__hero.reply", False), ("reply", False)],
    )
    def test_replies_go_to_reply_topics_by_default(self, topic, allowed) -> None:
        assert default_allow_reply_topic(topic) == allowed


def test_last_reply_is_marked_with_one_zero_byte() -> None:
    message = EncodedMessage(value=b"v", key=None, headers=[("x", b"1")], partition=3)

    marked = disposed(message)

    assert marked.headers == [("x", b"1"), ("kafka_nest-is-disposed", b"\x00")]
    assert message.headers == [("x", b"1")]
    assert (marked.value, marked.partition) == (b"v", 3)


class TestContextValues:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            (None, None),
            (b"f643208108d704c8bb070", "f643208108d704c8bb070"),
            ("é".encode(), "é"),
            (b"\x00abc", b"\x00abc"),
            (b"\x01\x02\xff" + bytes(13), b"\x01\x02\xff" + bytes(13)),
        ],
    )
    def test_correlation_id_is_text_where_it_is_text(self, raw, value) -> None:
        assert read_id(raw) == value

    @pytest.mark.parametrize(
        ("raw", "deadline"),
        [
            (b"1700000000123", 1_700_000_000.123),
            (b"0", 0.0),
            (None, None),
            (b"", None),
            (b"-1", None),
            (b"soon", None),
            (b"1.5", None),
            (b"9" * 17, None),
            (b"9" * 1_000_000, None),
        ],
    )
    def test_deadline_is_in_seconds_or_makes_no_sense(self, raw, deadline) -> None:
        assert read_deadline(raw) == deadline
