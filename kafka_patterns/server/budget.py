"""A bound that partitions share. Pure."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["Budget"]


class Budget:
    """An equal part for each partition, and all together no more than the bound.

    Parts shrink when partitions come: until those that hold more than their part now have
    worked it off, what is left is shared by the others in proportion. One that holds nothing
    may always take one, so that nobody waits for somebody else who is stuck.

    :param limit: what all together may hold; beyond it only the one of each that may take one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """What all hold, with those that left."""
        self._excess = 0  # held beyond the parts, or by partitions that left
        self.part = limit
        """What each partition may hold."""

    def share_among(self, holdings: Collection[int], *, limit: int | None = None) -> None:
        """These are the partitions from now on, each with what it holds; others may have left.

        :param limit: the bound from now on; as before, if not given.
        """
        self._limit = self._limit if limit is None else limit
        self.part = max(1, self._limit // max(1, len(holdings)))
        of_others = self.held - sum(holdings)
        self._excess = of_others + sum(max(0, held - self.part) for held in holdings)

    def left(self, held: int) -> int:
        """How much more a partition that holds *held* may take.

        Any number of partitions may be told in turn, and then take it.
        """
        own = self.part - held
        if own <= 0:
            return 0
        if self._excess:
            spare = max(0, self._limit - self.held)
            own = own * spare // (spare + self._excess)
        return own if held else max(1, own)

    @property
    def is_crowded(self) -> bool:
        """Whether some hold more than their part, so that others get less than theirs."""
        return self._excess > 0

    def change(self, before: int, after: int) -> None:
        """A partition held *before* and holds *after*."""
        self.held += after - before
        if before > self.part or after > self.part:
            self._excess += max(0, after - self.part) - max(0, before - self.part)

    def give_back(self, amount: int) -> None:
        """A partition that left holds so much less."""
        self.held -= amount
        self._excess -= amount
