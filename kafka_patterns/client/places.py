"""The places of requests that wait for a reply, and the queue of callers who wait for one."""

from __future__ import annotations

import threading
from collections import OrderedDict

__all__ = ["Places", "Turn"]


class Turn:
    """One caller in the queue.

    :param ended: set when a place is kept for it, or when it is dismissed.
    """

    __slots__ = ("dismissed", "ended")

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.dismissed = False


class Places:
    """Counts places, and gives those that become free to the queue, in its order.

    A place that was given is kept until its caller takes it: who comes later does not get ahead.
    Never waits itself. Not safe for threads: the lock of its owner guards it.

    :param limit: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._kept: set[bytes] = set()
        self._queue: OrderedDict[bytes, Turn] = OrderedDict()

    def take(self, who: bytes) -> bool:
        """Take the place that is kept for *who*, or a free one; ``False`` if there is none."""
        if self._kept and who in self._kept:
            self._kept.remove(who)
            return True
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """A place that was taken is free again."""
        if self._queue:
            who, turn = self._queue.popitem(last=False)
            self._kept.add(who)
            turn.ended.set()
        else:
            self._free += 1

    def line_up(self, who: bytes) -> Turn:
        """Let *who* wait for a place, behind all others; one that is free is kept at once."""
        turn = Turn()
        if self.take(who):
            self._kept.add(who)
            turn.ended.set()
        else:
            self._queue[who] = turn
        return turn

    def is_kept(self, who: bytes) -> bool:
        """Whether a place is kept for *who*."""
        return who in self._kept

    def forgo(self, who: bytes) -> None:
        """*who* waits no longer; what is kept for it goes to the next."""
        self._queue.pop(who, None)
        if who in self._kept:
            self._kept.remove(who)
            self.give_back()

    def dismiss(self) -> None:
        """End the waiting of all in the queue, without a place."""
        for turn in self._queue.values():
            turn.dismissed = True
            turn.ended.set()
        self._queue.clear()
