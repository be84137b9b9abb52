"""What stands: a partition that is not read or worked on further, and why."""

from __future__ import annotations

import attrs

__all__ = ["Standing"]


@attrs.frozen
class Standing:
    """A partition at which something stands while all others go on.

    :param offset: of the record that is tried again, or from which on nothing can be read.
    :param since: when it came to stand, in seconds since 1970.
    :param reason: why.
    """

    topic: str
    partition: int
    offset: int
    since: float
    reason: str

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] offset {self.offset}: {self.reason}"
