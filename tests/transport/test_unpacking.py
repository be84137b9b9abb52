"""What is compressed takes no more memory than it may."""

from __future__ import annotations

import gzip
import importlib
import struct
import tracemalloc
from collections.abc import Sequence

import pytest
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.base import Room
from kafka_patterns.transport.kafka_python.fetched import FetchedChunk
from tests.transport.batches import FIRST_RECORD, GZIP, batch, with_checksum
from tests.transport.parts import all_room, encoded, read, sent

HERO = TopicPartition("hero", 3)
SNAPPY, LZ4, ZSTD = 2, 3, 4
CODECS = [
    GZIP,
    pytest.param(SNAPPY, id="snappy"),
    pytest.param(LZ4, id="lz4"),
    pytest.param(ZSTD, id="zstd"),
]
MEGABYTE = 1 << 20


@pytest.fixture
def codec(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def take_all(chunk: FetchedChunk) -> list[Record]:
    """In slices, for what cannot be read ends one."""
    taken: list[Record] = []
    while records := chunk.take(10**9, 10**9):
        taken += records
    return taken


def readable(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records if record.unreadable is None]


def repacked(records: bytes, like: bytes) -> bytes:
    """The batch *like* with other bytes in place of its records."""
    data = bytearray(like[:FIRST_RECORD] + records)
    struct.pack_into(">i", data, 8, len(data) - 12)
    return with_checksum(data)


@pytest.mark.parametrize("codec", CODECS, indirect=True)
class TestAllCodecs:
    def test_records_come_as_they_were_sent(self, codec: int) -> None:
        headers = [("h", b"1"), ("h", None), ("é", b"")]
        sizes = [0, 1, 70_000, 200_000, 3]
        data = b"".join(
            batch([2 * n, 2 * n + 1], value=b"v" * size, headers=headers, compression=codec)
            for n, size in enumerate(sizes)
        )

        records = take_all(FetchedChunk(HERO, 0, data))

        assert readable(records) == list(range(10))
        assert [len(record.value or b"") for record in records[::2]] == sizes
        assert all(record.headers == headers for record in records)

    def test_batch_beyond_the_bound_is_poison_from_there_on(self, codec: int) -> None:
        bomb = batch(range(30), value=bytes(30_000), compression=codec)
        data = bomb + batch([30, 31])

        records = take_all(FetchedChunk(HERO, 0, data, max_unpacked_bytes=300_000))

        (poison,) = [record for record in records if record.unreadable is not None]
        assert poison.value == bomb
        assert poison.unreadable is not None
        assert "max_unpacked_bytes" in poison.unreadable.reason
        assert readable(records) == [*range(poison.offset), 30, 31]

    def test_record_beyond_the_bound_is_poison(self, codec: int) -> None:
        data = batch([0], value=bytes(400_000), compression=codec) + batch([1])

        records = take_all(FetchedChunk(HERO, 0, data, max_unpacked_bytes=300_000))

        assert [record.unreadable is None for record in records] == [False, True]

    def test_what_is_cut_off_is_poison(self, codec: int) -> None:
        whole = batch(range(9), value=bytes(range(256)) * 100, compression=codec)
        cut = repacked(whole[FIRST_RECORD : (FIRST_RECORD + len(whole)) // 2], whole)

        records = take_all(FetchedChunk(HERO, 0, cut + batch([9])))

        assert [record.offset for record in records if record.unreadable] != []
        assert records[-1].offset == 9
        assert records[-1].unreadable is None


def test_of_a_batch_only_the_next_record_is_in_memory() -> None:
    """20 MB in 20 kB."""
    data = batch(range(200), value=bytes(100_000), compression=GZIP)

    tracemalloc.start()
    try:
        chunk = FetchedChunk(HERO, 0, data)
        offsets = [record.offset for _ in range(200) for record in chunk.take(1, 1)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert offsets == list(range(200))
    assert most < 2 * MEGABYTE


@pytest.mark.parametrize("count", [1, 60], ids=["one value", "many records"])
def test_bomb_takes_no_memory(count: int) -> None:
    """60 MB in 60 kB."""
    value = bytes(60 * MEGABYTE // count)
    data = b""
    if count == 1:
        empty = batch([0], compression=GZIP)
        data = repacked(gzip.compress(varint(len(value)) + value), empty)
    else:
        data = batch(range(count), value=value, compression=GZIP)
    del value

    tracemalloc.start()
    try:
        chunk = FetchedChunk(HERO, 0, data, max_unpacked_bytes=4 * MEGABYTE)
        found = [record.unreadable for _ in range(count) for record in chunk.take(1, 1)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found[-1] is not None
    assert most < 15 * MEGABYTE


def varint(value: int) -> bytes:
    value <<= 1  # zigzag
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_gzip_may_have_several_members_and_zeros_behind_them() -> None:
    plain = batch(range(50), value=b"v" * 1_000)
    records, compressed = plain[FIRST_RECORD:], batch(range(50), compression=GZIP)
    members = gzip.compress(records[:20_001]) + gzip.compress(records[20_001:]) + bytes(7)

    chunk = FetchedChunk(HERO, 0, repacked(members, compressed))

    assert readable(take_all(chunk)) == list(range(50))


def test_size_that_snappy_claims_is_not_believed() -> None:
    snappy = importlib.import_module("snappy")  # it has no types
    claim = b"\xff\xff\xff\xff\x0f" + snappy.compress(b"x" * 100)[1:]
    data = repacked(claim, batch([0], value=b"v" * 1_000, compression=SNAPPY))

    (record,) = take_all(FetchedChunk(HERO, 0, data))

    assert record.unreadable is not None
    assert "max_unpacked_bytes" in record.unreadable.reason


def test_bound_holds_for_the_formats_before_headers() -> None:
    builder = LegacyRecordBatchBuilder(1, GZIP, 1 << 30)
    for offset in range(30):
        builder.append(offset, 1000, b"k", bytes(30_000))
    data = bytes(builder.build())

    assert readable(take_all(FetchedChunk(HERO, 0, data))) == list(range(30))
    (record,) = take_all(FetchedChunk(HERO, 0, data, max_unpacked_bytes=300_000))
    assert record.unreadable is not None
    assert "max_unpacked_bytes" in record.unreadable.reason


class TestHeaders:
    def test_headers_are_held(self) -> None:
        bare = Record("hero", 3, 0, 0, b"key", b"value", [])
        assert bare.held_bytes == bare.size == 8

        large = bare._replace(headers=[("h", bytes(900_000))])
        assert large.size == 8
        assert large.held_bytes > 900_000

    def test_many_headers_without_a_value_are_held(self) -> None:
        """Five bytes each on the wire, and a hundred in memory."""
        record = Record("hero", 3, 0, 0, None, None, [("a", None)] * 10_000)

        assert record.held_bytes > 1_000_000

    def test_no_more_headers_are_taken_than_there_is_room_for(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        producer = parts.producer()
        for _ in range(4):
            sent(producer, partition.topic, encoded(b"x", headers=[("h", bytes(1_000))]))
        reader = parts.reader({partition: 0})

        assert len(read(reader, 1, lambda _: Room(100, 500))) == 1
        assert len(read(reader, 3, all_room)) == 3
