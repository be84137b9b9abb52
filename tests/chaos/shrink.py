"""Fewer steps that fail as well: delta debugging, with a bound."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["shrink"]

Part = TypeVar("Part")


def shrink(
    parts: Sequence[Part], fails: Callable[[list[Part]], bool], *, most_tries: int
) -> list[Part]:
    """Leave out of *parts* what the failure does not need.

    :param fails: whether so few parts fail; asked at most *most_tries* times.
    :returns: the fewest parts that were seen to fail, in their order; all of them if no fewer did.
    """
    kept = list(parts)
    pieces = 2
    tries = 0
    while len(kept) >= 2 and tries < most_tries:
        smaller = None
        for candidate in _candidates(kept, pieces):
            if tries == most_tries:
                break
            tries += 1
            if fails(candidate):
                smaller = candidate
                break
        if smaller is not None:
            # A half that fails is cut in two again; what lacks one piece has one piece less.
            pieces = 2 if len(smaller) <= len(kept) / pieces else max(pieces - 1, 2)
            kept = smaller
        elif pieces >= len(kept):
            break
        else:
            pieces = min(2 * pieces, len(kept))
    return kept


def _candidates(kept: list[Part], pieces: int) -> list[list[Part]]:
    """Each piece alone, then all but one piece."""
    cuts = [len(kept) * number // pieces for number in range(pieces + 1)]
    spans = list(itertools.pairwise(cuts))
    alone = [kept[begin:end] for begin, end in spans]
    without = [kept[:begin] + kept[end:] for begin, end in spans] if pieces > 2 else []
    return [candidate for candidate in alone + without if candidate]
