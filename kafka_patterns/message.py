"""Messages as values: what is sent, what the wire carries, what a handler sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs

__all__ = [
    "EncodedMessage",
    "HeaderPairs",
    "HeaderValue",
    "HeadersLike",
    "IncomingMessage",
    "Message",
    "OffsetAndMetadata",
    "Record",
    "RecordMetadata",
    "TopicPartition",
    "Unreadable",
]

HeaderValue = str | bytes
HeadersLike = Mapping[str, HeaderValue] | Sequence[tuple[str, HeaderValue | None]]
HeaderPairs = list[tuple[str, bytes | None]]

_HEADER_OVERHEAD_BYTES = 150
"""Of the pair, its place in the list, and the objects of name and value."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class OffsetAndMetadata(NamedTuple):
    """A committed position: the **next** offset to read, and a text kept beside it."""

    offset: int
    metadata: str = ""


class RecordMetadata(NamedTuple):
    """Where the broker put a message."""

    topic: str
    partition: int
    offset: int
    timestamp: int


@attrs.frozen(kw_only=True)
class Message:
    """The explicit form of an outgoing message: nothing of it is guessed.

    :param value: the payload; ``None`` is a Kafka null (a tombstone).
    :param key: decides the partition: text, int, bytes, or an object written as JSON.
    :param headers: a mapping, or pairs where a name repeats; values ``str`` or ``bytes``.
    :param partition: a fixed partition instead of the one the key decides.
    :param timestamp: milliseconds since 1970; now, if not given.
    """

    value: Any = None
    key: Any = None
    headers: HeadersLike = attrs.field(factory=dict)
    partition: int | None = None
    timestamp: int | None = None


@attrs.frozen(kw_only=True)
class EncodedMessage:
    """A message as the wire takes it: bytes or null everywhere.

    :param partition_is_wish: whether a partition that the topic does not have gives way to the
        one that the key decides; otherwise such a message is refused.
    """

    value: bytes | None
    key: bytes | None
    headers: HeaderPairs
    partition: int | None = None
    timestamp: int | None = None
    partition_is_wish: bool = False


class Unreadable(NamedTuple):
    """Why what was fetched is no record that can be read.

    :param reason: what was found.
    :param is_raw: whether the value is what was fetched, a record or a whole batch, as it came:
        its key and headers are unknown then. Otherwise it is read, but for what *reason* says.
    """

    reason: str
    is_raw: bool = False


UNKNOWN_LEADER_EPOCH = -1
"""Of records in the formats before Kafka 0.11."""


class Record(NamedTuple):
    """A record as it was fetched: raw bytes, nothing parsed.

    ``headers`` is a list of pairs, for names repeat and values may be null. The bytes of a name
    that is no UTF-8 stand in it as ``surrogateescape`` writes them.
    ``timestamp`` is in milliseconds since 1970; ``timestamp_type`` is 0 if the producer set it,
    1 if the broker did. ``unreadable`` is ``None`` for all but poison. ``leader_epoch`` counts the
    leaders of the partition, and says which of them took the record.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: HeaderPairs
    timestamp_type: int = 0
    unreadable: Unreadable | None = None
    leader_epoch: int = UNKNOWN_LEADER_EPOCH

    @property
    def topic_partition(self) -> TopicPartition:
        """Where this record came from."""
        return TopicPartition(self.topic, self.partition)

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")

    @property
    def held_bytes(self) -> int:
        """How much memory its parts take: those of :attr:`size`, and the headers.

        A header has its objects, beside which two bytes on the wire are nothing.
        """
        size = self.size
        for name, value in self.headers:
            size += _HEADER_OVERHEAD_BYTES + len(name) + len(value or b"")
        return size

    def header(self, name: str) -> bytes | None:
        """The last value of a header, or ``None`` if it is absent or null."""
        for header_name, value in reversed(self.headers):
            if header_name == name:
                return value
        return None

    def has_header(self, name: str) -> bool:
        """Whether a header is present, be it null."""
        for header_name, _ in self.headers:
            if header_name == name:
                return True
        return False


class IncomingMessage(NamedTuple):
    """A received message, parsed and raw.

    ``key``, ``value`` and ``headers`` are parsed by the payload rules; the ``raw_`` fields
    hold the bytes of the record. ``timestamp`` is in milliseconds since 1970, ``size`` in
    bytes of key and value; ``attributes`` is always 0, for the base does not give it.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    size: int
    key: Any
    value: Any
    headers: dict[str, Any]
    raw_key: bytes | None
    raw_value: bytes | None
    raw_headers: HeaderPairs
    attributes: int = 0
