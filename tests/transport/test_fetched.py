"""A fetched chunk is unpacked record by record, and nothing of it gets lost."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordException, KafkaError
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.kafka_python.fetched import FetchedChunk
from tests.transport.batches import (
    CONTROL,
    FIRST_RECORD,
    GZIP,
    UNKNOWN_CODEC,
    batch,
    with_checksum,
)

HERO = TopicPartition("hero", 3)
PLENTY = 10**9


def offsets_of(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def take_all(chunk: FetchedChunk) -> list[Record]:
    return chunk.take(PLENTY, PLENTY)


class TestContents:
    @pytest.mark.parametrize("compression", [0, GZIP])
    def test_record_comes_as_it_was_sent(self, compression: int) -> None:
        headers = [("h", b"1"), ("h", None), ("é", b"")]
        data = batch([7], value=b"v", key=b"k", headers=headers, compression=compression)

        (record,) = take_all(FetchedChunk(HERO, 7, data))

        assert record == Record("hero", 3, 7, 1007, b"k", b"v", headers)

    def test_null_key_and_null_value_stay_null(self) -> None:
        (record,) = take_all(FetchedChunk(HERO, 0, batch([0], value=None)))

        assert (record.key, record.value, record.headers) == (None, None, [])

    @pytest.mark.parametrize("magic", [0, 1])
    def test_formats_before_headers_are_read(self, magic: int) -> None:
        builder = LegacyRecordBatchBuilder(magic, 0, 1 << 16)
        for offset in (0, 1):
            builder.append(offset, 1000, b"k", b"%d" % offset)

        records = take_all(FetchedChunk(HERO, 0, bytes(builder.build())))

        assert [record.value for record in records] == [b"0", b"1"]
        assert records[0].headers == []

    def test_records_before_the_position_are_left_out(self) -> None:
        chunk = FetchedChunk(HERO, 2, batch([0, 1, 2, 3]))

        assert offsets_of(take_all(chunk)) == [2, 3]

    def test_markers_of_transactions_are_left_out_and_passed(self) -> None:
        data = batch([0]) + batch([1], attributes=CONTROL) + batch([2])
        chunk = FetchedChunk(HERO, 0, data)

        assert offsets_of(take_all(chunk)) == [0, 2]

    def test_marker_at_the_end_is_passed(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0]) + batch([1], attributes=CONTROL))

        take_all(chunk)

        assert chunk.exhausted
        assert chunk.next_offset == 2

    def test_chunk_of_markers_alone_is_passed(self) -> None:
        chunk = FetchedChunk(HERO, 5, batch([5], attributes=CONTROL))

        assert chunk.exhausted
        assert chunk.next_offset == 6

    def test_tail_that_compaction_took_is_passed(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 3], end=10))

        assert offsets_of(take_all(chunk)) == [0, 3]
        assert chunk.next_offset == 10

    def test_cut_off_batch_is_left_for_the_next_fetch(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1]) + batch([2, 3])[:-1])

        assert offsets_of(take_all(chunk)) == [0, 1]
        assert chunk.exhausted
        assert chunk.next_offset == 2


class TestBounds:
    @given(
        batches=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), max_size=4),
        bounds=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=10),
        start=st.integers(0, 10),
    )
    def test_nothing_is_lost_or_doubled_whatever_room_there_is(
        self, batches, bounds, start
    ) -> None:
        data, offset, everything = b"", 0, []
        for gaps in batches:
            offsets = []
            for gap in gaps:
                offset += gap
                offsets.append(offset)
            data += batch(offsets, value=b"0123456789")
            everything += offsets
        chunk = FetchedChunk(HERO, start, data)
        seen: list[int] = []

        for max_records, max_bytes in [*bounds, (PLENTY, PLENTY)]:
            records = chunk.take(max_records, max_bytes)

            assert len(records) <= max_records
            assert sum(record.size for record in records[:-1]) < max(max_bytes, 1)
            seen += offsets_of(records)
            assert all(number < chunk.next_offset for number in seen)

        assert seen == [number for number in everything if number >= start]
        assert chunk.exhausted
        assert chunk.next_offset == max(start, offset + 1 if everything else 0)

    def test_next_offset_is_where_a_new_fetch_would_go_on(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1, 2, 3]))

        chunk.take(2, PLENTY)

        assert chunk.next_offset == 2
        assert not chunk.exhausted
        assert offsets_of(take_all(FetchedChunk(HERO, 2, batch([0, 1, 2, 3])))) == [2, 3]

    def test_last_record_may_pass_the_bytes(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1, 2], value=b"0123456789"))

        assert offsets_of(chunk.take(PLENTY, 11)) == [0, 1]


def damaged(good: bytes, at: int) -> bytes:
    """Bytes that were wrong before they were sent: their checksum is right."""
    data = bytearray(good)
    data[at] ^= 0xFF
    return with_checksum(data)


class TestDamage:
    @pytest.mark.parametrize(
        "broken",
        [
            batch([2], attributes=UNKNOWN_CODEC),
            damaged(batch([2]), FIRST_RECORD),
            damaged(batch([2], value=b"x" * 500, compression=GZIP), FIRST_RECORD + 12),
            damaged(batch([2], headers=[("name", b"")]), -3),
            batch([2]).replace(b"x", b"y"),
        ],
        ids=["codec", "structure", "gzip", "header name", "checksum"],
    )
    def test_what_comes_before_is_delivered_first(self, broken: bytes) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1]) + broken + batch([3]))

        assert offsets_of(chunk.take(1, PLENTY)) == [0]
        assert offsets_of(take_all(chunk)) == [1]

        assert not chunk.exhausted
        assert chunk.next_offset == 2
        for _ in range(2):
            with pytest.raises((KafkaError, OSError, zlib.error)):
                take_all(chunk)

    def test_damage_is_not_told_while_there_is_no_room(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0]) + batch([1], attributes=UNKNOWN_CODEC))

        assert chunk.take(0, PLENTY) == []
        assert chunk.take(PLENTY, 0) == []
        assert offsets_of(take_all(chunk)) == [0]
        with pytest.raises(KafkaError):
            take_all(chunk)

    def test_damage_at_the_beginning_is_told_at_once(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0], attributes=UNKNOWN_CODEC))

        assert not chunk.exhausted
        with pytest.raises(KafkaError):
            take_all(chunk)

    def test_changed_byte_is_noticed(self) -> None:
        good = batch([0], value=b"AAAA")

        changed = good.replace(b"AAAA", b"AAAB")
        with pytest.raises(CorruptRecordException, match="checksum"):
            take_all(FetchedChunk(HERO, 0, changed))
        assert len(take_all(FetchedChunk(HERO, 0, changed, check_crcs=False))) == 1
