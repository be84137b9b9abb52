"""The batches of a fetched chunk, cut apart by their lengths; nothing of them is believed yet."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs

from kafka_patterns.message import UNKNOWN_LEADER_EPOCH
from kafka_patterns.transport.kafka_python.unpacking import BoundedBatch, BoundedLegacyBatch

__all__ = ["Damage", "Piece", "pieces_of"]

_OVERHEAD = 12  # offset and length, in all formats
_LENGTH = struct.Struct(">i")
_LENGTH_AT, _LEADER_EPOCH_AT, _MAGIC_AT = 8, 12, 16
_SMALLEST = {0: 26, 1: 34, 2: 61}  # a batch without a record, by its format
_OFFSET = struct.Struct(">q")
_LAST_DELTA_AT, _COUNT_AT = 23, 57
_NEWEST = 2


class Damage(Exception):
    """A batch that is not what its producer wrote.

    It may have come on the way, or be in one replica alone: the next fetch may be without it.
    """


@attrs.frozen
class Piece:
    """The bytes of one batch, or of what is left where no length makes sense.

    :param is_first: whether nothing was before it in the answer.
    :param following: where the next batch begins, if there is one.
    """

    raw: memoryview
    is_first: bool
    is_cut_off: bool
    following: int | None = None

    @property
    def magic(self) -> int:
        """The number of its format; -1 if it is too short to tell."""
        return self.raw[_MAGIC_AT] if len(self.raw) > _MAGIC_AT else -1

    @property
    def leader_epoch(self) -> int:
        """Of the leader that took it."""
        if self.magic != _NEWEST:
            return UNKNOWN_LEADER_EPOCH
        return int(_LENGTH.unpack_from(self.raw, _LEADER_EPOCH_AT)[0])

    @property
    def base_offset(self) -> int:
        """Of its first record, or some lower number."""
        if self.magic != _NEWEST or len(self.raw) < _OFFSET.size:
            return 0
        return int(_OFFSET.unpack_from(self.raw)[0])

    @property
    def end(self) -> int | None:
        """The offset after it, also where compaction took its last records, as it says itself.

        ``None`` if that cannot be so.
        """
        magic = self.magic
        if magic < 0 or len(self.raw) < _SMALLEST.get(magic, _SMALLEST[_NEWEST]):
            return None
        (offset,) = _OFFSET.unpack_from(self.raw)
        if magic != _NEWEST:
            return int(offset) + 1  # its own, and that of the last one inside
        (delta,) = _LENGTH.unpack_from(self.raw, _LAST_DELTA_AT)
        (count,) = _LENGTH.unpack_from(self.raw, _COUNT_AT)
        if offset < 0 or not 0 <= count <= delta + 1:
            return None
        end = int(offset) + int(delta) + 1
        return end if self.following is None else min(end, max(self.following, int(offset) + 1))

    def open(self, *, check_crcs: bool, max_unpacked_bytes: int) -> Any:
        """A batch as the base has them.

        :raises Damage: if it is none.
        """
        magic = self.magic
        if self.is_cut_off or len(self.raw) < _SMALLEST.get(magic, 0):
            raise Damage(f"a batch ends after {len(self.raw)} bytes")
        if magic not in _SMALLEST:
            raise Damage(f"a batch of the unknown format {magic}")
        try:
            batch = (
                BoundedBatch(self.raw, max_unpacked_bytes)
                if magic == _NEWEST
                else BoundedLegacyBatch(self.raw, magic, max_unpacked_bytes)
            )
            sound = not check_crcs or batch.validate_crc()
        except (AssertionError, struct.error) as error:
            raise Damage(f"a batch whose header makes no sense: {error!r}") from error
        if not sound:
            raise Damage("the checksum of a batch is wrong")
        return batch


def pieces_of(data: bytes) -> Iterator[Piece]:
    """Cut *data* apart; the last piece may be cut off, for an answer ends after so many bytes."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        end = _end_of_batch(view, position)
        is_cut_off = end is None
        after = len(view) if end is None else end
        following = None
        if len(view) - after >= _OFFSET.size:
            (following,) = _OFFSET.unpack_from(view, after)
        yield Piece(view[position:after], position == 0, is_cut_off, following)
        position = after


def _end_of_batch(view: memoryview, position: int) -> int | None:
    if len(view) - position < _OVERHEAD:
        return None
    (length,) = _LENGTH.unpack_from(view, position + _LENGTH_AT)
    end = position + _OVERHEAD + int(length)
    return end if length > 0 and end <= len(view) else None
