"""One run from beginning to end."""

from __future__ import annotations

import time

import attrs

from tests.chaos.account import take_account
from tests.chaos.checker import check
from tests.chaos.history import History, save
from tests.chaos.nemesis import Deed, run_plan
from tests.chaos.recovery import Recovery
from tests.chaos.world import World

__all__ = ["NEMESIS", "RECOVERS", "Outcome", "run_world"]

RECOVERS = "all goes on when the faults are over"
NEMESIS = "the nemesis itself does not fail"

_CALM_SECONDS = 8.0


@attrs.frozen
class Outcome:
    """What came of a run.

    :param breaches: of promises, in words, by promise.
    :param deeds: what was done, and when.
    :param began: when the plan began, by the monotonic clock, as all times in the history.
    :param seconds: of the whole run.
    """

    history: History
    breaches: dict[str, list[str]]
    deeds: list[Deed]
    began: float
    seconds: float


def run_world(world: World) -> Outcome:
    """Start everything, carry out the plan, wait until all is well again, and judge."""
    started = time.monotonic()
    world.start()
    began = time.monotonic()
    deeds = run_plan(world)
    recovery = Recovery(world)
    recovery.wait_until_well()
    calm_since = time.monotonic()
    world.hold(_CALM_SECONDS)
    for load in world.loads.values():
        load.stop()
    recovery.wait_until_handled()
    recovery.wait_until_committed()
    ended_at = time.monotonic()
    world.fleet.stop("client")
    world.fleet.stop("server")
    history = take_account(world, calm_since=calm_since, ended_at=ended_at)
    save(history, world.folder)
    breaches = check(history)
    if recovery.missing:
        breaches[RECOVERS] = recovery.missing
    errors = [f"{deed.step}: {deed.error!r}" for deed in deeds if deed.error is not None]
    if errors:
        breaches[NEMESIS] = errors
    return Outcome(history, breaches, deeds, began, time.monotonic() - started)
