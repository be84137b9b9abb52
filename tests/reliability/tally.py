"""What became of the requests of one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from kafka_patterns import KafkaPatternsError, RequestTimeout

__all__ = ["Answer", "Tally"]

_KEPT_EXAMPLES = 5
_GRACE_SECONDS = 3.0
"""By so much a request may end after its timeout on a busy machine."""


@attrs.frozen
class Answer:
    """What a server replies.

    :param id: of the question.
    :param partition: of the reply topic, as the request named it.
    """

    id: str
    partition: int


@attrs.define
class Tally:
    """Every request is counted once.

    :param replied: got their own answers.
    :param timed_out: ended with ``RequestTimeout``.
    :param refused: ended with another error of the library, by its type.
    :param broken: ended as none may: somebody else's answer, another error, or too late.
    :param examples: of the errors.
    :param partitions: of the reply topic, named in requests that were answered.
    :param seconds: how long those took.
    """

    replied: int = 0
    timed_out: int = 0
    refused: Counter[str] = attrs.Factory(Counter)
    broken: list[str] = attrs.Factory(list)
    examples: list[str] = attrs.Factory(list)
    partitions: set[int] = attrs.Factory(set)
    seconds: list[float] = attrs.Factory(list)

    @property
    def sent(self) -> int:
        """How many there were."""
        return self.replied + self.timed_out + self.refused.total() + len(self.broken)

    def note(
        self, request: str, outcome: Answer | Exception, *, took: float, timeout: float
    ) -> None:
        """Count one request."""
        if isinstance(outcome, Exception) and len(self.examples) < _KEPT_EXAMPLES:
            self.examples.append(f"{request} after {took:.1f} s: {outcome!r}")
        if took > timeout + _GRACE_SECONDS:
            self.broken.append(f"{request} took {took:.1f} s instead of {timeout:g}")
        elif isinstance(outcome, RequestTimeout):
            self.timed_out += 1
        elif isinstance(outcome, KafkaPatternsError):
            self.refused[type(outcome).__name__] += 1
        elif isinstance(outcome, Exception):
            self.broken.append(f"{request} failed with {outcome!r}")
        elif outcome.id != request:
            self.broken.append(f"{request} was answered {outcome!r}")
        else:
            self.replied += 1
            self.partitions.add(outcome.partition)
            self.seconds.append(took)

    def add(self, other: Tally) -> None:
        """Count those of *other* as well."""
        self.replied += other.replied
        self.timed_out += other.timed_out
        self.refused += other.refused
        self.broken += other.broken
        self.examples = [*self.examples, *other.examples][:_KEPT_EXAMPLES]
        self.partitions |= other.partitions
        self.seconds += other.seconds

    def to_json(self) -> dict[str, Any]:
        """For the process that started this one."""
        return {**attrs.asdict(self), "partitions": sorted(self.partitions)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Tally:
        """What :meth:`to_json` made."""
        return cls(
            **{
                **told,
                "refused": Counter(told["refused"]),
                "partitions": set(told["partitions"]),
            }
        )
