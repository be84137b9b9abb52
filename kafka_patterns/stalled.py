"""A partition that is not read or worked on further, and why."""

from __future__ import annotations

import attrs

__all__ = ["StalledPartition"]


@attrs.frozen
class StalledPartition:
    """A partition that makes no progress while all others go on.

    :param offset: of the record that is tried again, or from which on nothing can be read; ``None``
        if where to begin is not known.
    :param since: since when, in seconds since 1970.
    :param reason: why.
    :param is_forbidden: whether a right is missing, which the reason names.
    """

    topic: str
    partition: int
    offset: int | None
    since: float
    reason: str
    is_forbidden: bool = False

    def __str__(self) -> str:
        at = "" if self.offset is None else f" offset {self.offset}"
        return f"{self.topic}[{self.partition}]{at}: {self.reason}"
