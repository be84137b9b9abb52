"""Lanes: what must run in order stands in one lane; different lanes run in parallel.

Workers take from one queue of lanes that have work. A lane goes to the end of the queue after
each item, so a long one never starves the others, and a lane whose item waits for its next try
is out of the queue until then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import attrs

from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.consuming.timers import Timers

__all__ = ["Lanes", "Limit"]

Item = TypeVar("Item", bound=Hashable)


@attrs.define(eq=False)
class _Lane(Generic[Item]):
    key: Hashable
    limit: Limit | None
    items: deque[Item] = attrs.field(factory=deque)
    active: int = 0  # how many of them, from the head on, are being worked on
    wake_at: int | None = None
    failing: bool = False  # its head is tried again and again
    aside: int = 0  # how many that do not run, from the head on, are set aside
    holds: int = 0  # so far; a timer ends the hold it was set for, and no later one


@attrs.define(eq=False)
class Limit:
    """How many items of one kind may run at once, and the lanes that wait for their turn."""

    maximum: int
    running: int = 0
    waiting: deque[Any] = attrs.field(factory=deque)


class Lanes(Generic[Item]):
    """A queue of lanes. Any thread may call any method.

    :param timers: wakes lanes whose item waits for its next try.
    :param limit_of: the limit that the items of a lane run under, if there is one.
    :param set_aside: told of items that wait in a lane whose head failed.
    :param take_back: told of those of them that run, or are dropped. Both must not call back.
    """

    def __init__(
        self,
        timers: Timers,
        limit_of: Callable[[Item], Limit | None] = lambda _: None,
        *,
        set_aside: Callable[[Iterable[Item]], object] = lambda _: None,
        take_back: Callable[[Iterable[Item]], object] = lambda _: None,
    ) -> None:
        self._timers = timers
        self._limit_of = limit_of
        self._set_aside = set_aside
        self._take_back = take_back
        # Workers block in this queue alone: a condition would cost each of them several locks.
        self._ready: SimpleQueue[_Lane[Item] | None] = SimpleQueue()
        self._lock = BriefLock()  # guards everything below
        self._idle = threading.Condition(self._lock)  # type: ignore[arg-type]  # it may be any lock
        self._lanes: dict[Hashable, _Lane[Item]] = {}
        self._running: dict[Item, _Lane[Item]] = {}
        self._waiting: set[_Lane[Item]] = set()
        self._parked: list[_Lane[Item]] = []
        self._frozen = False
        self._closed = False

    def put(self, entries: Iterable[tuple[Hashable | None, Item]]) -> None:
        """Append items to their lanes; a key of ``None`` is a lane of its own."""
        with self._lock:
            for key, item in entries:
                lane = self._lanes.get(key) if key is not None else None
                if lane is None:
                    lane = _Lane(object() if key is None else key, self._limit_of(item))
                    self._lanes[lane.key] = lane
                    self._ready.put(lane)
                lane.items.append(item)
                if lane.failing:
                    lane.aside += 1
                    self._set_aside((item,))
                if lane.wake_at is not None and len(lane.items) >= lane.wake_at:
                    self._wake_locked(lane)

    def take(self) -> Item | None:
        """Wait for the next item and take it; ``None`` once closed.

        The item stays at the head of its lane until :meth:`done` or :meth:`hold`.
        """
        while True:
            lane = self._ready.get()
            with self._lock:
                if lane is None or self._closed:
                    self._ready.put(None)  # for the next worker
                    return None
                if self._frozen:
                    self._parked.append(lane)
                elif not lane.items:
                    self._pass_turn(lane.limit)  # it was dropped meanwhile
                elif lane.limit is None or self._may_run(lane, lane.limit):
                    item = lane.items[0]
                    lane.active = 1
                    if lane.aside:
                        lane.aside -= 1
                        self._take_back((item,))
                    self._running[item] = lane
                    return item

    def _may_run(self, lane: _Lane[Item], limit: Limit) -> bool:
        if limit.running >= limit.maximum:
            limit.waiting.append(lane)
            return False
        limit.running += 1
        return True

    def _stop_running(self, item: Item) -> _Lane[Item]:
        lane = self._running.pop(item)
        lane.active = 0
        if lane.limit is not None:
            lane.limit.running -= 1
            self._pass_turn(lane.limit)
        return lane

    def _pass_turn(self, limit: Limit | None) -> None:
        if limit is not None and limit.waiting:
            self._ready.put(limit.waiting.popleft())

    def gather(self, item: Item, count: int) -> list[Item]:
        """*item*, which runs, and what follows it in its lane: up to *count* in all."""
        with self._lock:
            lane = self._running[item]
            gathered = list(islice(lane.items, count))
            lane.active = len(gathered)
            back = min(lane.aside, lane.active - 1)
            lane.aside -= back
            self._take_back(gathered[1 : 1 + back])
            return gathered

    def done(self, item: Item, count: int = 1) -> None:
        """*item* is worked off, and *count* - 1 after it: the next of its lane may run."""
        with self._lock:
            lane = self._stop_running(item)
            lane.failing = False
            _drop_first(lane, count)
            if lane.items:
                self._ready.put(lane)
            else:
                del self._lanes[lane.key]
            if self._frozen or self._closed:
                self._tell_idle()

    def hold(
        self,
        item: Item,
        delay: float,
        *,
        done: int = 0,
        wake_at: int | None = None,
        failed: bool = False,
    ) -> None:
        """The head of *item*'s lane runs again after *delay* seconds.

        :param failed: whether it failed: until it is worked off, its lane waits aside.

        :param done: how many items, from *item* on, are worked off.
        :param wake_at: with that many items the lane does not wait any longer.
        """
        with self._lock:
            ran = self._running[item].active - done
            lane = self._stop_running(item)
            _drop_first(lane, done)
            lane.failing = failed
            self._wait_aside(lane, ran)
            lane.wake_at = wake_at
            lane.holds += 1
            hold = lane.holds
            self._waiting.add(lane)
            if wake_at is not None and len(lane.items) >= wake_at:
                self._wake_locked(lane)
            self._tell_idle()
        self._timers.after(delay, lambda: self._wake(lane, hold))

    def _wait_aside(self, lane: _Lane[Item], ran: int) -> None:
        """Those that *ran* stand again before those that are aside, if any, and so join them."""
        before, behind = list(islice(lane.items, ran)), lane.aside + ran
        if lane.failing:
            self._set_aside([*before, *islice(lane.items, behind, None)])
            lane.aside = len(lane.items)
        elif lane.aside:
            self._set_aside(before)
            lane.aside = behind

    def _tell_idle(self) -> None:
        if not self._running:
            self._idle.notify_all()

    def _wake(self, lane: _Lane[Item], hold: int) -> None:
        with self._lock:
            if lane.holds == hold:
                self._wake_locked(lane)

    def wait_for_no_more(self, key: Hashable) -> None:
        """The lane of *key* gets no more items until some of it are worked off."""
        with self._lock:
            lane = self._lanes.get(key)
            if lane is not None and lane.wake_at is not None:
                self._wake_locked(lane)

    def _wake_locked(self, lane: _Lane[Item]) -> None:
        lane.wake_at = None
        if lane in self._waiting:
            self._waiting.discard(lane)
            self._ready.put(lane)

    def drop(self, is_stale: Callable[[Item], bool]) -> list[Item]:
        """Forget the items that are stale and do not run; returns them."""
        dropped: list[Item] = []
        with self._lock:
            for lane in list(self._lanes.values()):
                keep: deque[Item] = deque()
                kept_aside = 0
                for index, item in enumerate(lane.items):
                    is_aside = 0 <= index - lane.active < lane.aside
                    if index < lane.active or not is_stale(item):
                        keep.append(item)
                        kept_aside += is_aside
                    else:
                        dropped.append(item)
                        if is_aside:
                            self._take_back((item,))
                lane.items = keep
                lane.aside = kept_aside
                if not keep:
                    del self._lanes[lane.key]
                    self._waiting.discard(lane)
        return dropped

    def freeze(self) -> None:
        """Let no further item start until :meth:`thaw`."""
        with self._lock:
            self._frozen = True

    def thaw(self) -> None:
        """Let items start again."""
        with self._lock:
            self._frozen = False
            for lane in self._parked:
                self._ready.put(lane)
            self._parked.clear()

    def wait_until_idle(self, timeout: float) -> bool:
        """While frozen or closed: wait until nothing runs; ``False`` after *timeout* seconds."""
        with self._lock:
            return self._idle.wait_for(lambda: not self._running, timeout)

    def close(self) -> None:
        """Let every :meth:`take` return ``None``; what is queued stays undone."""
        with self._lock:
            self._closed = True
            self._ready.put(None)

    @property
    def running(self) -> int:
        """How many items run now."""
        with self._lock:
            return len(self._running)

    @property
    def waiting(self) -> int:
        """How many lanes wait for their next try."""
        with self._lock:
            return len(self._waiting)


def _drop_first(lane: _Lane[Any], count: int) -> None:
    for _ in range(count):
        lane.items.popleft()
