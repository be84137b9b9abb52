"""Care after an unclean end: which message it was that ended a process, and how often.

A process that dies says nothing. Whoever has its partitions next sees that they were not handed
over, and takes care for a while: before a message is worked on, it is committed that it is under
way. If that process dies as well, those that were under way are suspects; they then run one at a
time, so that each further end can be laid at the door of one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.server.work_notes import WorkNotes, decode_notes

__all__ = ["Care", "EpochCare"]

_FIRST_WINDOW = 100
_GROWTH = 4
_MAX_GROWTHS = 6
_LIVED_SECONDS = 10.0


class Care:
    """What the epochs of one server share."""

    def __init__(self) -> None:
        self.lock = BriefLock()  # guards everything below, and all epochs
        self.running = 0  # messages under way with care
        self.alone: EpochCare | None = None  # whose suspect runs, with nothing beside it
        self.next_alone: tuple[EpochCare, int] | None = None  # the suspect that waits for that
        self.handing_over = False


class EpochCare:
    """The care taken in one epoch of a partition.

    :param position: where it begins.
    :param notes: what the one before it noted.
    """

    def __init__(
        self,
        care: Care,
        position: int,
        notes: WorkNotes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._care = care
        self._level = notes.level + 1
        growths = min(notes.level - 1, _MAX_GROWTHS)
        self._until = position + (_FIRST_WINDOW * _GROWTH**growths if notes.level else 0)
        self._suspects = set(notes.suspects)
        self._running: set[int] = set()
        self._noted: dict[int, int] = {}
        self._clock = clock
        self._began = clock()
        self._lost = False
        self.ends = dict(notes.suspects)
        """Suspects, with the ends of processes that each alone can have caused."""

    def may_begin(self, offset: int) -> bool:
        """Whether work on a message may begin; if not, a commit is due, and then ask again."""
        if offset >= self._until and offset not in self._suspects:
            return True
        with self._care.lock:
            if self._lost:
                return True
            if offset in self._running:
                is_alone = offset in self._suspects
                return self._noted.get(offset, -1) >= self.ends.get(offset, 0) + is_alone
            if self._has_turn(offset):
                self._running.add(offset)
                self._care.running += 1
            return False

    def _has_turn(self, offset: int) -> bool:
        care, claim = self._care, (self, offset)
        if offset not in self._suspects:
            return care.alone is None and care.next_alone is None
        if care.next_alone is None:
            care.next_alone = claim
        if care.running or care.next_alone != claim:
            return False
        care.next_alone, care.alone = None, self
        return True

    def is_under_way(self, offset: int) -> bool:
        """Whether a message was noted, and works now."""
        return offset in self._running

    def ended(self, offset: int) -> None:
        """The process outlived a try of the message."""
        if not self._running:
            return
        with self._care.lock:
            if offset in self._running:
                self._stop(offset)

    def _stop(self, offset: int) -> None:
        self._running.discard(offset)
        self._care.running -= 1
        if offset in self._suspects:
            self._suspects.discard(offset)
            self._care.alone = None

    def lose(self) -> None:
        """The epoch is over."""
        with self._care.lock:
            self._lost = True
            for offset in list(self._running):
                self._stop(offset)
            if self._care.next_alone is not None and self._care.next_alone[0] is self:
                self._care.next_alone = None

    def notes(self, has_finished: Callable[[int], bool]) -> WorkNotes:
        """What to commit."""
        with self._care.lock:
            suspects = {o: ends for o, ends in self.ends.items() if not has_finished(o)}
            if self._care.handing_over:
                return WorkNotes(0, suspects)
            alone = self._care.running == 1
            suspects.update((o, self.ends.get(o, 0) + alone) for o in self._running)
            lived = self._clock() - self._began > _LIVED_SECONDS
            return WorkNotes(1 if lived else self._level, suspects)

    def committed(self, position: int, text: str) -> None:
        """The broker has what :meth:`notes` said."""
        if self._running or self._noted:
            self._noted = dict(decode_notes(position, text)[0].suspects)
