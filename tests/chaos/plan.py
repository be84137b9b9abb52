"""What goes wrong, whom it strikes and when: drawn from a seed, so that a run can be had again."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from tests.chaos.kinds import KINDS, Kind

__all__ = ["Plan", "Step", "make_plan"]

_QUIET_START_SECONDS = 3.0
_MEAN_GAP_SECONDS = 4.0
_TRIES = 20
"""Draws for one moment before it is left without a fault."""


@attrs.frozen
class Step:
    """One fault.

    :param fault: the name of its kind.
    :param target: what it strikes, for example ``server-1``, ``broker-2`` or a topic's role.
    :param at: seconds since the start of the plan.
    :param seconds: how long it lasts; some faults are over at once.
    :param details: what else was drawn.
    """

    fault: str
    target: str
    at: float
    seconds: float
    details: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def ends_at(self) -> float:
        """Seconds since the start of the plan."""
        return self.at + self.seconds

    def __str__(self) -> str:
        drawn = "".join(f" {name}={value}" for name, value in self.details.items())
        return f"{self.at:6.1f} s  {self.fault} {self.target} for {self.seconds:.1f} s{drawn}"


@attrs.frozen
class Plan:
    """The faults of one run.

    :param seconds: how long the load goes on beside them.
    :param from_beginning: where the group of the servers begins.
    :param steps: in the order in which they begin.
    """

    seed: int
    seconds: float
    from_beginning: bool
    steps: tuple[Step, ...]

    def with_steps(self, steps: Iterable[Step]) -> Plan:
        """The same run with other faults."""
        return attrs.evolve(self, steps=tuple(sorted(steps, key=lambda step: step.at)))

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(attrs.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What :meth:`to_json` made, perhaps changed by hand."""
        told = json.loads(text)
        return cls(**{**told, "steps": tuple(Step(**step) for step in told["steps"])})

    def __str__(self) -> str:
        begins = "beginning" if self.from_beginning else "end"
        heading = f"seed {self.seed}: {self.seconds:g} s from the {begins} of the topics"
        return "\n".join([heading, *(str(step) for step in self.steps)])


def make_plan(seed: int, seconds: float, kinds: Collection[str] = tuple(KINDS)) -> Plan:
    """Draw a plan; the same arguments give the same plan.

    Faults overlap, except those that need the same thing.

    :param kinds: the names of the faults to draw from.
    """
    source = random.Random(seed)
    from_beginning = source.random() < 0.5
    drawn_from = [kind for name, kind in KINDS.items() if name in kinds]
    steps: list[Step] = []
    at = _QUIET_START_SECONDS
    while at < seconds:
        step = _draw_free(source, drawn_from, steps, at, seconds)
        if step is not None:
            steps.append(step)
        at += round(source.expovariate(1 / _MEAN_GAP_SECONDS), 1)
    return Plan(seed, seconds, from_beginning, tuple(steps))


def _draw_free(
    source: random.Random, kinds: list[Kind], steps: list[Step], at: float, until: float
) -> Step | None:
    for _ in range(_TRIES):
        (kind,) = source.choices(kinds, [kind.weight for kind in kinds])
        step = Step(
            kind.name,
            source.choice(kind.targets),
            at,
            round(source.uniform(*kind.seconds), 1),
            kind.draw(source),
        )
        if step.ends_at <= until and not any(_collide(step, other) for other in steps):
            return step
    return None


def _collide(new: Step, old: Step) -> bool:
    kind, other = KINDS[new.fault], KINDS[old.fault]
    free_at = old.ends_at + other.recovery_seconds
    return new.at < free_at and bool(kind.needs(new.target) & other.needs(old.target))
