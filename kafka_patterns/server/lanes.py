"""Lanes: what must run in order stands in one lane; different lanes run in parallel.

Workers take from one queue of lanes that have work. A lane goes to the end of the queue after
each item, so a long one never starves the others, and a lane whose item waits for its next try
is out of the queue until then.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import attrs

__all__ = ["Lanes"]

Item = TypeVar("Item", bound=Hashable)


@attrs.define(eq=False)
class _Lane(Generic[Item]):
    key: Hashable
    items: deque[Item] = attrs.field(factory=deque)


class Lanes(Generic[Item]):
    """A queue of lanes. Any thread may call any method."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards everything below
        self._lanes: dict[Hashable, _Lane[Item]] = {}
        self._ready: deque[_Lane[Item]] = deque()
        self._running: dict[Item, _Lane[Item]] = {}
        self._waiting: list[tuple[float, int, _Lane[Item]]] = []
        self._order = itertools.count()
        self._frozen = False
        self._closed = False

    def put(self, entries: Iterable[tuple[Hashable | None, Item]]) -> None:
        """Append items to their lanes; a key of ``None`` is a lane of its own."""
        with self._changed:
            added = 0
            for key, item in entries:
                lane = self._lanes.get(key) if key is not None else None
                if lane is None:
                    lane = _Lane(object() if key is None else key)
                    self._lanes[lane.key] = lane
                    self._ready.append(lane)
                    added += 1
                lane.items.append(item)
            if added == 1:
                self._changed.notify()
            elif added:
                self._changed.notify_all()

    def take(self) -> Item | None:
        """Wait for the next item and take it; ``None`` once closed.

        The item stays at the head of its lane until :meth:`done` or :meth:`hold`.
        """
        with self._changed:
            while not self._closed:
                self._wake_due()
                if self._ready and not self._frozen:
                    lane = self._ready.popleft()
                    item = lane.items[0]
                    self._running[item] = lane
                    return item
                self._changed.wait(self._seconds_to_next_due())
            return None

    def _wake_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            lane = heapq.heappop(self._waiting)[2]
            if self._lanes.get(lane.key) is lane:
                self._ready.append(lane)

    def _seconds_to_next_due(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] - time.monotonic())

    def done(self, item: Item) -> None:
        """*item* is worked off: the next of its lane may run."""
        with self._changed:
            lane = self._running.pop(item)
            if self._lanes.get(lane.key) is lane:
                lane.items.popleft()
                if lane.items:
                    self._ready.append(lane)
                    self._changed.notify()
                else:
                    del self._lanes[lane.key]
            if self._frozen:
                self._changed.notify_all()

    def hold(self, item: Item, delay: float) -> None:
        """*item* stays at the head of its lane and runs again after *delay* seconds."""
        with self._changed:
            lane = self._running.pop(item)
            if self._lanes.get(lane.key) is lane:
                due = time.monotonic() + delay
                heapq.heappush(self._waiting, (due, next(self._order), lane))
            self._changed.notify_all()

    def drop(self, is_stale: Callable[[Item], bool]) -> list[Item]:
        """Forget the items that are stale and do not run; returns them."""
        dropped: list[Item] = []
        with self._changed:
            for lane in list(self._lanes.values()):
                keep: deque[Item] = deque()
                for item in lane.items:
                    stays = item in self._running or not is_stale(item)
                    (keep if stays else dropped).append(item)
                lane.items = keep
                if not keep:
                    del self._lanes[lane.key]
            self._ready = deque(lane for lane in self._ready if lane.items)
            self._waiting = [entry for entry in self._waiting if entry[2].items]
            heapq.heapify(self._waiting)
        return dropped

    def freeze(self) -> None:
        """Let no further item start until :meth:`thaw`."""
        with self._changed:
            self._frozen = True

    def thaw(self) -> None:
        """Let items start again."""
        with self._changed:
            self._frozen = False
            self._changed.notify_all()

    def wait_until_idle(self, timeout: float) -> bool:
        """While frozen: wait until nothing runs; ``False`` if *timeout* seconds passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def close(self) -> None:
        """Let every :meth:`take` return ``None``; what is queued stays undone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def running(self) -> int:
        """How many items run now."""
        with self._changed:
            return len(self._running)

    @property
    def waiting(self) -> int:
        """How many lanes wait for their next try."""
        with self._changed:
            return len(self._waiting)
