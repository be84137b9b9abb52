"""The table at the end of a run: a line per scenario."""

from __future__ import annotations

import attrs

__all__ = ["Row", "format_table"]

_HEADINGS = ("scenario", "produced", "handled", "lost", "duplicated", "bound", "seconds", "")


@attrs.frozen
class Row:
    """What came of one scenario.

    :param bound: how many duplicates the server's promise allows.
    :param fact: what else was measured.
    """

    scenario: str
    produced: int
    handled: int
    lost: int
    duplicated: int
    bound: int
    seconds: float
    fact: str = ""


def format_table(rows: list[Row]) -> list[str]:
    """The lines, aligned: names to the left, numbers to the right."""
    cells = [list(_HEADINGS)]
    cells += [
        [
            row.scenario,
            *(f"{number:,}" for number in attrs.astuple(row)[1:6]),
            f"{row.seconds:.1f}",
            row.fact,
        ]
        for row in sorted(rows, key=lambda row: row.scenario)
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
