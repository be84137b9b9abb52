"""Carries out a plan."""

from __future__ import annotations

import threading
import time

from tests.chaos.faults import STRIKES
from tests.chaos.plan import Step
from tests.chaos.world import SETTLE_SECONDS, World

__all__ = ["Deed", "run_plan"]

_OVERTIME_SECONDS = 240.0
"""In which the last fault is over: a broker may take its time to come back."""


class Deed:
    """What became of one step; times are those of the monotonic clock."""

    def __init__(self, world: World, step: Step) -> None:
        self.step = step
        self.began = float("inf")
        self.ended = float("inf")
        self.error: Exception | None = None
        self._world = world
        self._thread = threading.Thread(target=self._run, name=f"nemesis: {step}")

    def begin(self) -> None:
        """Strike, in a thread of its own."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait until it is over.

        :raises AssertionError: if it is not in time.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError(f"this step does not end: {self.step}")

    def _run(self) -> None:
        self.began = time.monotonic()
        try:
            STRIKES[self.step.fault](self._world, self.step)
        except Exception as error:  # noqa: BLE001 - told by the run, which fails
            self.error = error
        self.ended = time.monotonic()
        self._world.disturbances.append((self.began, self.ended + SETTLE_SECONDS))


def run_plan(world: World) -> list[Deed]:
    """Strike as the world's plan says; returns when all is over and the plan's time as well."""
    began = time.monotonic()
    deeds = []
    for step in world.plan.steps:
        world.hold(max(0.0, began + step.at - time.monotonic()))
        deeds.append(Deed(world, step))
        deeds[-1].begin()
    world.hold(max(0.0, began + world.plan.seconds - time.monotonic()))
    until = time.monotonic() + _OVERTIME_SECONDS
    for deed in deeds:
        deed.join(max(0.0, until - time.monotonic()))
    return deeds
