"""What the environment asks for."""

from __future__ import annotations

import os
import random
from pathlib import Path

import attrs
import pytest

from tests.chaos.kinds import KINDS
from tests.chaos.plan import Plan, make_plan

__all__ = ["Settings", "chosen_settings"]

_PREFIX = "KAFKA_PATTERNS_CHAOS_"
_AROUND_SECONDS = 780.0
"""Beside the plan: the brokers' start, recovery, and the judgement."""


@attrs.frozen
class Settings:
    """How the suite runs.

    :param shrink_tries: runs to find fewer steps that fail as well.
    """

    plan: Plan
    shrink_tries: int

    @property
    def limit_seconds(self) -> float:
        """In which everything has ended."""
        return (self.plan.seconds + _AROUND_SECONDS) * (1 + self.shrink_tries)


def chosen_settings() -> Settings:
    """Of ``PLAN``, or of ``MINUTES``, ``SEED`` and ``FAULTS``; and ``SHRINK``."""
    tries = int(_asked("SHRINK", "8"))
    saved = _asked("PLAN", "")
    if saved:
        return Settings(Plan.from_json(Path(saved).read_text(encoding="utf-8")), tries)
    seed = int(_asked("SEED", "") or random.SystemRandom().randrange(10_000))
    kinds = _asked("FAULTS", "").replace(",", " ").split() or list(KINDS)
    unknown = set(kinds) - KINDS.keys()
    if unknown:
        raise pytest.UsageError(f"there are no faults {unknown}; there are {', '.join(KINDS)}")
    return Settings(make_plan(seed, 60 * float(_asked("MINUTES", "10")), kinds), tries)


def _asked(name: str, default: str) -> str:
    return os.environ.get(f"{_PREFIX}{name}") or default
