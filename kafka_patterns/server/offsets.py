"""What of one partition is finished, and up to where it may be committed. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["OffsetTracker"]


class OffsetTracker:
    """The finished prefix of the *delivered* records of one partition.

    Compaction and transaction markers leave holes between offsets, so only what was delivered
    counts: the position is the lowest delivered offset that is not finished, or the one after
    the last.

    :param start: the offset at which reading began.
    """

    def __init__(self, start: int) -> None:
        self._next = start
        self._delivered: deque[int] = deque()
        self._finished: set[int] = set()

    def deliver(self, offset: int) -> bool:
        """A record was read; ``False`` if it, or a later one, was read before."""
        if offset < self._next:
            return False
        self._delivered.append(offset)
        self._next = offset + 1
        return True

    def finish(self, offset: int) -> bool:
        """A record is finished; ``True`` if the position moved. Again is no harm."""
        if offset < self.position:
            return False  # before: a handler may commit its message and then return
        self._finished.add(offset)
        moved = False
        while self._delivered and self._delivered[0] in self._finished:
            self._finished.discard(self._delivered.popleft())
            moved = True
        return moved

    @property
    def position(self) -> int:
        """The next offset to read for somebody who takes over: what may be committed."""
        return self._delivered[0] if self._delivered else self._next

    @property
    def next_offset(self) -> int:
        """The offset after the last delivered record."""
        return self._next

    @property
    def unfinished(self) -> int:
        """How many delivered records are not finished."""
        return len(self._delivered) - len(self._finished)
