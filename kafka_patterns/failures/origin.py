"""Where a message stood first, as headers of a message made from it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from kafka_patterns import headers
from kafka_patterns.message import HeaderPairs, Record

__all__ = ["origin_headers"]


def origin_headers(record: Record, group: str, names: Iterable[str]) -> HeaderPairs:
    """Say where *record* stood, and for which consumer group, in Spring's encodings.

    :param names: of the headers for topic, partition, offset, timestamp and timestamp type.
    """
    kind = headers.TIMESTAMP_TYPES.get(record.timestamp_type, headers.NO_TIMESTAMP_TYPE)
    values = (
        record.topic.encode(),
        struct.pack(">i", record.partition),
        struct.pack(">q", record.offset),
        struct.pack(">q", record.timestamp),
        kind.encode(),
    )
    return [
        *zip(names, values, strict=True),
        (headers.DLT_ORIGINAL_CONSUMER_GROUP, group.encode()),
    ]
