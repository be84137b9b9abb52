"""Record batches as Kafka stores them, made byte by byte where need be."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

__all__ = ["CONTROL", "FIRST_RECORD", "GZIP", "UNKNOWN_CODEC", "batch", "with_bad_name"]
__all__ += ["with_checksum"]

CHECKSUM, ATTRIBUTES, LAST_OFFSET_DELTA, FIRST_RECORD = 17, 21, 23, 61
CONTROL, GZIP, UNKNOWN_CODEC = 0x20, 1, 7


def batch(
    offsets: Sequence[int],
    *,
    value: bytes | None = b"x",
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    compression: int = 0,
    end: int | None = None,
    attributes: int = 0,
) -> bytes:
    """A batch as Kafka stores it; *end* is the offset after it, where compaction took the tail."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 30)
    for offset in offsets:
        # The builder's deltas count from 0: the base offset is written below.
        assert builder.append(offset - offsets[0], 1000 + offset, key, value, list(headers))
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, offsets[0])
    struct.pack_into(">i", data, LAST_OFFSET_DELTA, (end or offsets[-1] + 1) - offsets[0] - 1)
    (old,) = struct.unpack_from(">h", data, ATTRIBUTES)
    struct.pack_into(">h", data, ATTRIBUTES, old | attributes)
    return with_checksum(data)


def with_checksum(data: bytearray) -> bytes:
    struct.pack_into(">I", data, CHECKSUM, calc_crc32c(bytes(data[ATTRIBUTES:])))
    return bytes(data)


def with_bad_name(
    *, value: bytes = b"x", key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
) -> bytes:
    """A batch of one record whose first header's name, ``\\xffame``, is no UTF-8."""
    data = bytearray(batch([0], value=value, key=key, headers=[("name", b"h"), *headers]))
    data[data.index(b"name", FIRST_RECORD)] = 0xFF
    return with_checksum(data)
