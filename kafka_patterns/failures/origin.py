"""Where a message stood first, as headers of a message made from it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from kafka_patterns import headers
from kafka_patterns.message import HeaderPairs, Record
from kafka_patterns.patterns import is_dead_letter_topic

__all__ = ["has_origin", "origin_headers", "read_origin"]


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


def has_origin(record: Record) -> bool:
    """Whether a dead letter says where it came from."""
    return record.header(headers.DLT_ORIGINAL_TOPIC) is not None


def read_origin(pairs: HeaderPairs) -> Mapping[str, bytes | None]:
    """The headers of a dead letter that say where it came from first.

    They are those that were written last: a sender of the message may have written others before
    it failed, and whoever believes these sends it where the sender likes. Only what came from a
    dead letter topic had an origin already.
    """
    begins = [at for at, (name, _) in enumerate(pairs) if name == headers.DLT_ORIGINAL_TOPIC]
    if len(begins) < 2:
        return dict(pairs)  # in whatever order a foreign writer has put them
    last = len(begins) - 1
    while last and is_dead_letter_topic((pairs[begins[last]][1] or b"").decode("utf-8", "replace")):
        last -= 1
    return dict(pairs[begins[last] : [*begins, len(pairs)][last + 1]])
