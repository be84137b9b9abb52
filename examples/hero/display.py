"""Lines of a table: what was asked, with what, what came of it, and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Row", "show", "timed"]


def show(name: str, payload: object = "", outcome: object = "", time_taken: str = "") -> None:
    """Print one line of the table."""
    line = f"{name!s:<17} {payload!s:<21} {outcome!s:<41} {time_taken:>9}"
    # In one piece: the callbacks of the library print from a thread of their own.
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


class Row:
    """A line whose outcome is not known yet."""

    def __init__(self, name: str, payload: object) -> None:
        self._name = name
        self._payload = payload
        self._started = time.perf_counter()

    def ends_with(self, outcome: object) -> None:
        """Print the line, with the time since it was made; more may follow below it."""
        milliseconds = (time.perf_counter() - self._started) * 1000
        show(self._name, self._payload, outcome, f"{milliseconds:.1f} ms")
        self._name = ""
        self._payload = ""


@contextmanager
def timed(name: str, payload: object) -> Iterator[Row]:
    """A line for what happens in the ``with`` block."""
    yield Row(name, payload)
