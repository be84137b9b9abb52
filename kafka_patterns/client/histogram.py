"""How long replies took, as one value. Pure."""

from __future__ import annotations

import bisect

import attrs

__all__ = ["BOUNDS", "Histogram", "bucket_of"]

BOUNDS: tuple[float, ...] = tuple(0.001 * 2**step for step in range(17))
"""The upper bounds of the buckets in seconds: 1 ms, 2 ms, 4 ms, and so on to 65.536 s."""


def bucket_of(seconds: float) -> int:
    """The bucket of a duration; each contains its upper bound."""
    return bisect.bisect_left(BOUNDS, seconds)


@attrs.frozen
class Histogram:
    """Counts of durations in fixed buckets, each twice as wide as the one before.

    :param counts: per bucket of :data:`BOUNDS`, and one more for what is longer.
    :param total: the sum of all durations in seconds.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.counts)

    def quantile(self, fraction: float) -> float | None:
        """Seconds within which that *fraction* (0 to 1) of the replies came.

        It is the upper bound of a bucket, infinite past the last one; ``None`` if nothing was
        measured.
        """
        wanted, seen = fraction * self.count, 0
        for bound, count in zip((*BOUNDS, float("inf")), self.counts, strict=True):
            seen += count
            if seen and seen >= wanted:
                return bound
        return None
