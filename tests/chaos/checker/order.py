"""The records of a key are handled in their order."""

from __future__ import annotations

from collections import defaultdict

from tests.chaos.history import History, RecordId, record_of
from tests.reliability.journal import FINISHED, STARTED

__all__ = ["check_order"]


def check_order(history: History) -> list[str]:
    """Records that began before the one ahead of them in their key was finished.

    What nobody can read, or was deleted with its topic, is ahead of nothing.
    """
    ahead = _ahead(history)
    finished: set[RecordId] = set()
    found = []
    for entry in sorted(history.entries, key=lambda entry: entry.at):
        record = record_of(entry)
        if entry.event == FINISHED:
            finished.add(record)
        elif entry.event == STARTED:
            first = ahead.get(record)
            if first is not None and first not in finished:
                found.append(
                    f"{record} began at {entry.at:.3f} in process {entry.pid} "
                    f"before {first.sequence} was finished"
                )
    return found


def _ahead(history: History) -> dict[RecordId, RecordId]:
    """The record ahead of each one that has one."""
    keys: defaultdict[tuple[str, str], list[RecordId]] = defaultdict(list)
    for produced in history.produced:
        if produced.record not in history.poison and not history.is_gone(produced):
            keys[produced.record[:2]].append(produced.record)
    ahead: dict[RecordId, RecordId] = {}
    for records in keys.values():
        records.sort()
        ahead.update(zip(records[1:], records, strict=False))
    return ahead
