"""What of one partition is finished, and up to where it may be committed. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator

from kafka_patterns.consuming.offset_map import Run
from kafka_patterns.message import UNKNOWN_LEADER_EPOCH

__all__ = ["OffsetTracker"]


class OffsetTracker:
    """The finished prefix of the *delivered* records of one partition.

    Compaction and transaction markers leave holes between offsets, so only what was delivered
    counts: the position is the lowest delivered offset that is not finished, or the one after
    the last and what is known to be no record behind it.

    :param start: the offset at which reading began.
    :param finished: runs at or above *start* that an earlier owner finished.
    :param leader_epoch: the latest of what that owner had read.
    """

    def __init__(
        self,
        start: int,
        finished: Iterable[Run] = (),
        leader_epoch: int = UNKNOWN_LEADER_EPOCH,
    ) -> None:
        self._next = start
        self._leader_epoch = leader_epoch
        # In the order of delivery, so ascending; what is finished leaves no trace but a gap.
        self._unfinished: OrderedDict[int, None] = OrderedDict()
        self._earlier: deque[Run] = deque(finished)

    def deliver(self, offset: int, leader_epoch: int = UNKNOWN_LEADER_EPOCH) -> bool:
        """A record was read; ``False`` if there is nothing to do for it.

        That is so if it, or a later one, was read before, or an earlier owner finished it. No
        owner read what a later leader took: if that stands where something was finished, the log
        was cut short in between, and its offsets were given out again.
        """
        if offset < self._next:
            return False
        self._next = offset + 1
        while self._earlier and self._earlier[0][1] <= offset:
            self._earlier.popleft()
        if leader_epoch > self._leader_epoch:
            self._leader_epoch = leader_epoch
            self._earlier.clear()
        if self._earlier and self._earlier[0][0] <= offset:
            return False
        self._unfinished[offset] = None
        return True

    def skip_to(self, offset: int) -> None:
        """There is no record below *offset* that was not delivered."""
        self._next = max(self._next, offset)

    def finish(self, offset: int) -> bool:
        """A record is finished; ``True`` if the position moved. Again is no harm."""
        moves = offset == self.position
        return self._unfinished.pop(offset, offset) is None and moves

    def has_finished(self, offset: int) -> bool:
        """Whether a delivered record is finished, or *offset* is none."""
        return offset < self._next and offset not in self._unfinished

    @property
    def position(self) -> int:
        """The next offset to read for somebody who takes over: what may be committed."""
        return next(iter(self._unfinished), self._next)

    @property
    def next_offset(self) -> int:
        """The offset after the last delivered record and the hole behind it."""
        return self._next

    @property
    def leader_epoch(self) -> int:
        """The latest of what was read, here or by the earlier owner."""
        return self._leader_epoch

    @property
    def unfinished(self) -> int:
        """How many delivered records are not finished."""
        return len(self._unfinished)

    def finished_runs(self) -> Iterator[Run]:
        """What is finished above the position, ascending; holes count as finished."""
        after: int | None = None
        for offset in self._unfinished:
            if after is not None and after < offset:
                yield (after, offset)
            after = offset + 1
        if after is not None and after < self._next:
            yield (after, self._next)
        for start, end in self._earlier:
            if end > self._next:
                yield (max(start, self._next), end)
