"""A fetched chunk is unpacked record by record, and nothing of it gets lost."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.kafka_python.fetched import FetchedChunk
from kafka_patterns.transport.kafka_python.pieces import Damage
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

        assert record == Record("hero", 3, 7, 1007, b"k", b"v", headers, leader_epoch=0)

    def test_record_says_which_leader_took_it(self) -> None:
        data = bytearray(batch([7, 8]) + batch([9]))
        struct.pack_into(">i", data, 12, 5)  # no part of the checksum: the leader writes it

        records = take_all(FetchedChunk(HERO, 7, bytes(data)))

        assert [record.leader_epoch for record in records] == [5, 5, 0]

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
        start = min(start, offset)  # a broker gives nothing that ends before what was asked for
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


BAD_NAME = damaged(batch([2], value=b"v", key=b"k", headers=[("name", b"h")]), -5)
CODEC = batch([2], attributes=UNKNOWN_CODEC)
BAD_LENGTH = damaged(batch([2]), FIRST_RECORD)
BAD_GZIP = damaged(batch([2], value=b"x" * 500, compression=GZIP), FIRST_RECORD + 12)
BAD_CHECKSUM = batch([2]).replace(b"x", b"y")


class TestPoison:
    """What cannot be read is given in its place, and what follows it is read on."""

    @pytest.mark.parametrize(
        "broken", [CODEC, BAD_LENGTH, BAD_GZIP, BAD_NAME], ids=["codec", "length", "gzip", "name"]
    )
    def test_neighbours_of_what_cannot_be_read_are_read(self, broken: bytes) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1]) + broken + batch([3]))

        assert offsets_of(chunk.take(1, PLENTY)) == [0]
        one, poison = chunk.take(PLENTY, PLENTY)
        (three,) = chunk.take(PLENTY, PLENTY)

        assert [one.unreadable, three.unreadable] == [None, None]
        assert (one.offset, poison.offset, three.offset) == (1, 2, 3)
        assert poison.unreadable is not None
        assert chunk.exhausted
        assert chunk.next_offset == 4

    @pytest.mark.parametrize(
        "broken", [CODEC, BAD_LENGTH, BAD_GZIP], ids=["codec", "length", "gzip"]
    )
    def test_what_is_no_record_comes_as_it_was_fetched(self, broken: bytes) -> None:
        (poison,) = take_all(FetchedChunk(HERO, 0, broken))

        assert (poison.key, poison.value, poison.headers) == (None, broken, [])
        assert poison.unreadable is not None
        assert poison.unreadable.is_raw

    def test_name_of_a_header_that_is_no_utf8_keeps_its_bytes(self) -> None:
        (poison,) = take_all(FetchedChunk(HERO, 0, BAD_NAME))

        assert (poison.key, poison.value, poison.timestamp) == (b"k", b"v", 1002)
        ((name, content),) = poison.headers
        assert name.encode("utf-8", "surrogateescape") == b"n\x9eme"
        assert content == b"h"
        assert poison.unreadable is not None
        assert not poison.unreadable.is_raw
        assert "no UTF-8" in poison.unreadable.reason

    def test_one_bad_record_takes_no_others_of_its_batch_with_it(self) -> None:
        data = bytearray(batch([5, 6, 7, 8], headers=[("name", b"h")]))
        data[[at for at in range(len(data)) if data.startswith(b"name", at)][1]] = 0xFF

        chunk = FetchedChunk(HERO, 0, with_checksum(data))
        records = [*take_all(chunk), *take_all(chunk)]

        assert offsets_of(records) == [5, 6, 7, 8]
        assert [record.unreadable is None for record in records] == [True, False, True, True]
        assert chunk.next_offset == 9

    def test_record_whose_parts_do_not_fit_its_length_is_given_as_it_came(self) -> None:
        data = bytearray(batch([5, 6]))
        data[FIRST_RECORD + 5] = 0x04  # the value's length: 2 instead of 1

        chunk = FetchedChunk(HERO, 0, with_checksum(data))
        (poison,) = take_all(chunk)

        assert poison.offset == 5
        assert poison.unreadable is not None
        assert poison.unreadable.is_raw
        assert poison.value == bytes(data[FIRST_RECORD : FIRST_RECORD + len(poison.value or b"")])
        assert offsets_of(take_all(chunk)) == [6]

    def test_batch_that_cannot_be_read_is_passed_whole_from_where_reading_began(self) -> None:
        data = batch([5, 6, 7], end=20, attributes=UNKNOWN_CODEC)

        chunk = FetchedChunk(HERO, 6, data)

        assert offsets_of(take_all(chunk)) == [6]
        assert chunk.next_offset == 20
        assert chunk.exhausted

    @pytest.mark.parametrize("magic", [0, 1])
    def test_old_formats_that_cannot_be_read_are_passed(self, magic: int) -> None:
        builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
        for offset in (0, 1):
            builder.append(offset, 1000, None, b"%d" % offset)
        data = bytearray(builder.build())
        attributes_at = 17
        data[attributes_at] = UNKNOWN_CODEC

        chunk = FetchedChunk(HERO, 0, bytes(data), check_crcs=False)
        (poison,) = take_all(chunk)
        (good,) = take_all(chunk)

        assert (poison.offset, good.offset) == (0, 1)
        assert poison.unreadable is not None
        assert good.timestamp == (1000 if magic else -1)

    def test_only_what_cannot_be_read_ends_a_slice(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0]) + CODEC + batch([3]))

        assert offsets_of(chunk.take(PLENTY, PLENTY)) == [0, 2]
        assert chunk.take(0, PLENTY) == []
        assert offsets_of(chunk.take(PLENTY, PLENTY)) == [3]


UNKNOWN_FORMAT = batch([2])[:16] + b"\x09" + batch([2])[17:]


class TestDamage:
    """What another fetch may not have is told, and believed only when that is said."""

    @pytest.mark.parametrize("broken", [BAD_CHECKSUM, UNKNOWN_FORMAT], ids=["checksum", "format"])
    def test_what_comes_before_is_delivered_first(self, broken: bytes) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0, 1]) + broken + batch([3]))

        assert offsets_of(chunk.take(1, PLENTY)) == [0]
        assert offsets_of(take_all(chunk)) == [1]

        assert not chunk.exhausted
        assert chunk.next_offset == 2
        for _ in range(2):
            with pytest.raises(Damage):
                take_all(chunk)

    @pytest.mark.parametrize("broken", [BAD_CHECKSUM, UNKNOWN_FORMAT], ids=["checksum", "format"])
    def test_damage_that_is_believed_is_poison(self, broken: bytes) -> None:
        chunk = FetchedChunk(HERO, 2, broken + batch([3]), believed=2)

        (poison,) = take_all(chunk)

        assert (poison.offset, poison.value) == (2, broken)
        assert offsets_of(take_all(chunk)) == [3]

    @pytest.mark.parametrize("size", [1, 11, 12, 40, 61, 68])
    def test_batch_that_is_cut_off_from_the_first_is_damage(self, size: int) -> None:
        data = batch([2, 3])[:size]

        with pytest.raises(Damage):
            take_all(FetchedChunk(HERO, 2, data))
        chunk = FetchedChunk(HERO, 2, data, believed=2)
        (poison,) = take_all(chunk)

        assert (poison.offset, poison.value) == (2, data)
        assert chunk.next_offset == (3 if size < 61 else 4)

    def test_answer_without_what_was_asked_for_is_damage(self) -> None:
        """Else it would be asked for again and again, and nobody would know."""
        with pytest.raises(Damage, match="nothing of it is at offset 7"):
            take_all(FetchedChunk(HERO, 7, batch([5, 6])))

    def test_offset_that_damage_made_large_skips_no_records(self) -> None:
        data = bytearray(BAD_CHECKSUM)
        struct.pack_into(">i", data, 23, 1_000_000)  # the last offset's delta

        chunk = FetchedChunk(HERO, 2, bytes(data) + batch([3]), believed=2)

        assert offsets_of(take_all(chunk)) == [2]
        assert offsets_of(take_all(chunk)) == [3]

    def test_damage_is_not_told_while_there_is_no_room(self) -> None:
        chunk = FetchedChunk(HERO, 0, batch([0]) + BAD_CHECKSUM)

        assert chunk.take(0, PLENTY) == []
        assert chunk.take(PLENTY, 0) == []
        assert offsets_of(take_all(chunk)) == [0]
        with pytest.raises(Damage):
            take_all(chunk)

    def test_changed_byte_is_noticed(self) -> None:
        good = batch([0], value=b"AAAA")

        changed = good.replace(b"AAAA", b"AAAB")
        with pytest.raises(Damage, match="checksum"):
            take_all(FetchedChunk(HERO, 0, changed))
        assert len(take_all(FetchedChunk(HERO, 0, changed, check_crcs=False))) == 1

    @given(data=st.binary(max_size=200), at=st.integers(0, 400))
    def test_whatever_bytes_come_nothing_hangs_and_nothing_else_is_raised(self, data, at) -> None:
        good = batch([0, 1]) + batch([2], value=b"x" * 50) + batch([3])
        mixed = good[:at] + data + good[at + len(data) :]
        for believed in (None, 0, 1, 2):
            chunk = FetchedChunk(HERO, 0, mixed, believed=believed)
            try:
                while chunk.take(PLENTY, PLENTY):
                    pass
            except Damage:
                pass
            assert chunk.next_offset >= 0
