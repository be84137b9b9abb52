"""What is read: again, or not to be read at all."""

from __future__ import annotations

from tests.chaos.commands import command
from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["add_poison", "seek"]


def seek(world: World, step: Step) -> None:
    """Tell a server to read a partition again from before its commit on."""
    command(world.folder, step.target, "seek", world.topic("events"), step.details["back"])
    world.hold(step.seconds)


def add_poison(world: World, step: Step) -> None:
    """Records that no handler can read."""
    world.load(step.target).add_poison(step.details["count"])
    world.hold(step.seconds)
