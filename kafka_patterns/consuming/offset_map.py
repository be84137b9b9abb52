"""What is finished behind an unfinished record, as text beside a committed offset. Pure.

One slow message holds back the committed position of its partition; without this, everything
that was finished behind it would run again after a restart. The text is ``kp2:`` and the base64
of variable-length numbers: first the latest leader epoch under which a record was written that was
read by then, and one more; then for each run of finished records, how many offsets lie between it
and the end of the one before (the position, for the first), and how many it spans.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator

from kafka_patterns.headers import OFFSET_MAP_PREFIX
from kafka_patterns.message import UNKNOWN_LEADER_EPOCH

__all__ = ["MAX_METADATA_LENGTH", "Run", "decode_leader_epoch", "decode_runs", "encode_runs"]
__all__ += ["number", "numbers"]

Run = tuple[int, int]
"""The first offset of finished records, and the offset after the last."""

MAX_METADATA_LENGTH = 4096
"""What a broker takes as metadata of a commit, by default."""


def encode_runs(
    position: int,
    runs: Iterable[Run],
    leader_epoch: int = UNKNOWN_LEADER_EPOCH,
    *,
    max_length: int = MAX_METADATA_LENGTH,
) -> str:
    """The text for *runs*, ascending and above *position*; empty if there are none.

    Of more runs than fit the first ones are kept: what is left out runs again, no more.

    :param leader_epoch: the latest of the records that were read.
    :param max_length: characters the text may have.
    """
    max_bytes = (max_length - len(OFFSET_MAP_PREFIX)) // 4 * 3
    head = number(leader_epoch - UNKNOWN_LEADER_EPOCH)
    data = bytearray(head)
    end = position
    for first, after in runs:
        entry = number(first - end) + number(after - first)
        if len(data) + len(entry) > max_bytes:
            break
        data += entry
        end = after
    return OFFSET_MAP_PREFIX + base64.b64encode(data).decode() if data != head else ""


def decode_runs(position: int, text: str) -> list[Run]:
    """The runs in *text*; none if it is not ours, or cannot be read."""
    runs = []
    end = position
    read = _decode(text)
    for gap, length in zip(read[1::2], read[2::2], strict=False):
        runs.append((end + gap, end + gap + length))
        end += gap + length
    return runs


def decode_leader_epoch(text: str) -> int:
    """That of the records that were read when *text* was written."""
    read = _decode(text)
    return read[0] + UNKNOWN_LEADER_EPOCH if read else UNKNOWN_LEADER_EPOCH


def _decode(text: str) -> list[int]:
    if not text.startswith(OFFSET_MAP_PREFIX):
        return []
    try:
        return list(numbers(base64.b64decode(text[len(OFFSET_MAP_PREFIX) :], validate=True)))
    except (binascii.Error, ValueError):
        return []


def number(value: int) -> bytes:
    """A number in as few bytes as it needs."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def numbers(data: bytes) -> Iterator[int]:
    """The numbers in *data*.

    :raises ValueError: if the last one is cut off.
    """
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            yield value
            value = shift = 0
    if shift:
        raise ValueError("the last number is cut off")
