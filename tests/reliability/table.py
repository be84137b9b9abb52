"""The tables at the end of a run: a line per scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

__all__ = ["CallerRow", "Row", "format_table"]


@attrs.frozen
class Row:
    """What came of one scenario of servers.

    :param bound: how many duplicates the server's promise allows.
    :param fact: what else was measured.
    """

    headings: ClassVar = ("scenario", "produced", "handled", "lost", "duplicated", "bound")

    scenario: str
    produced: int
    handled: int
    lost: int
    duplicated: int
    bound: int
    seconds: float
    fact: str = ""

    @property
    def cells(self) -> list[str]:
        """What stands under the headings."""
        numbers = (self.produced, self.handled, self.lost, self.duplicated, self.bound)
        return [self.scenario, *(f"{number:,}" for number in numbers)]


@attrs.frozen
class CallerRow:
    """What came of one scenario of clients; every request is in one of the columns.

    :param replied: requests that got their own answers.
    :param refused: requests that ended with an error of the library other than a timeout.
    :param broken: requests that ended as none may: with somebody else's answer, with another
        error, or after their timeout.
    :param p99_ms: the time that one in a hundred of the answers exceeded.
    :param fact: what else was measured.
    """

    headings: ClassVar = (
        "scenario", "sent", "replied", "timed out", "refused", "broken", "p99 ms",
    )  # fmt: skip

    scenario: str
    sent: int
    replied: int
    timed_out: int
    refused: int
    broken: int
    p99_ms: float
    seconds: float
    fact: str = ""

    @property
    def cells(self) -> list[str]:
        """What stands under the headings."""
        numbers = (self.sent, self.replied, self.timed_out, self.refused, self.broken)
        return [self.scenario, *(f"{number:,}" for number in numbers), f"{self.p99_ms:.0f}"]


def format_table(rows: Sequence[Row | CallerRow]) -> list[str]:
    """The lines, aligned: names to the left, numbers to the right."""
    cells = [[*rows[0].headings, "seconds", ""]]
    cells += [
        [*row.cells, f"{row.seconds:.1f}", row.fact]
        for row in sorted(rows, key=lambda row: row.scenario)
    ]
    last = len(cells[0]) - 1
    widths = [max(len(line[column]) for line in cells) for column in range(last + 1)]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
