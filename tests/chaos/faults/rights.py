"""Rights that are withdrawn and given back."""

from __future__ import annotations

from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["forbid"]


def forbid(world: World, step: Step) -> None:
    """Nobody under test may read a topic, nor commit for it."""
    topic = world.topic(step.target)
    with world.losing(str(step), topic=topic), world.cluster.forbidden(topic):
        world.hold(step.seconds)
