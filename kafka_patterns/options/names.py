"""The spelling of names: camelCase aliases, and the known name nearest to a wrong one."""

from __future__ import annotations

import difflib
import itertools
import operator
from collections.abc import Iterable

__all__ = ["camel_case", "nearest"]

_LEAST_LIKENESS = 0.6


def camel_case(name: str) -> str:
    """The name as kafkajs would write it, without the unit: ``sessionTimeout``."""
    first, *others = name.removesuffix("_ms").split("_")
    return first + "".join(word.capitalize() for word in others)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like *name*, or ``None`` if none is like it.

    Upper and lower case, and underscores, count for nothing.
    """
    wanted = _letters(name)
    by_letters: dict[str, str] = {}
    for candidate in known:
        by_letters.setdefault(_letters(candidate), candidate)
    # difflib alone takes "esrializer" for "deserializer", with which it shares more letters.
    one_slip_away = [letters for letters in by_letters if _is_one_slip(wanted, letters)]
    likeness = 0.0 if one_slip_away else _LEAST_LIKENESS
    close = difflib.get_close_matches(wanted, one_slip_away or by_letters, 1, likeness)
    return by_letters[close[0]] if close else None


def _is_one_slip(one: str, other: str) -> bool:
    """Whether one letter was dropped, added or replaced, or two neighbours swapped."""
    start = _common_start(one, other)
    one, other = one[start:], other[start:]
    end = _common_start(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _common_start(one: str, other: str) -> int:
    return sum(itertools.takewhile(bool, map(operator.eq, one, other)))
