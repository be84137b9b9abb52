"""What a server notes beside a committed offset, for whoever has the partition next. Pure.

Besides what is finished behind the position: whether it is still at work there, and which
messages are under suspicion, for a process ended, or was cut off from its group, while they were
handled. The text is ``kp3:`` and the base64 of variable-length numbers: the level of care, and
for each suspect how many offsets lie between it and the one before (the position, for the
first), and how many ends it alone can have caused; then a bar, and the text of the runs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from itertools import islice

import attrs

from kafka_patterns.consuming.offset_map import (
    MAX_METADATA_LENGTH,
    Run,
    encode_runs,
    number,
    numbers,
)
from kafka_patterns.headers import WORK_NOTES_PREFIX
from kafka_patterns.message import UNKNOWN_LEADER_EPOCH

__all__ = ["WorkNotes", "decode_notes", "encode_notes"]

_BAR = "|"
_MAX_SUSPECTS = 100


@attrs.frozen
class WorkNotes:
    """What stands beside a position.

    :param level: how many members in a row have begun without handing the partition over; 0 if
        the last one did.
    :param suspects: offsets that were under way at such an end, and how often nothing else was.
    """

    level: int = 0
    suspects: Mapping[int, int] = attrs.field(factory=dict)


def encode_notes(
    position: int, notes: WorkNotes, runs: Iterable[Run], leader_epoch: int = UNKNOWN_LEADER_EPOCH
) -> str:
    """The text for *notes* and *runs*; that of the runs alone if there is nothing to note."""
    if not notes.level and not notes.suspects:
        return encode_runs(position, runs, leader_epoch)
    data = number(notes.level)
    before = position
    for offset, ends in islice(sorted(notes.suspects.items()), _MAX_SUSPECTS):
        data += number(offset - before) + number(ends)
        before = offset
    head = WORK_NOTES_PREFIX + base64.b64encode(data).decode() + _BAR
    left = MAX_METADATA_LENGTH - len(head)
    return head + encode_runs(position, runs, leader_epoch, max_length=left)


def decode_notes(position: int, text: str) -> tuple[WorkNotes, str]:
    """The notes in *text*, none if it is not ours or cannot be read; and the text of the runs."""
    if not text.startswith(WORK_NOTES_PREFIX):
        return WorkNotes(), text
    head, _, runs = text[len(WORK_NOTES_PREFIX) :].partition(_BAR)
    try:
        level, *rest = numbers(base64.b64decode(head, validate=True))
    except (binascii.Error, ValueError):
        return WorkNotes(), ""
    suspects = {}
    offset = position
    for distance, ends in zip(rest[::2], rest[1::2], strict=False):
        offset += distance
        suspects[offset] = ends
    return WorkNotes(level, suspects), runs
