"""Nothing is lost."""

from __future__ import annotations

from tests.chaos.history import History, record_of
from tests.reliability.journal import FINISHED

__all__ = ["check_losses"]


def check_losses(history: History) -> list[str]:
    """Records that are neither handled nor, if nobody can read them, dead letters.

    What was in a topic that was deleted is not lost by the library.
    """
    handled = {record_of(entry) for entry in history.entries if entry.event == FINISHED}
    ended = handled | (history.dead_letters & history.poison)
    return [
        f"{produced.record} at {produced.position} was written at "
        f"{produced.acknowledged_at:.3f} and never handled"
        for produced in history.produced
        if produced.record not in ended and not history.is_gone(produced)
    ]
