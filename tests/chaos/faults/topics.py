"""Topics that change while they are used."""

from __future__ import annotations

import time

from tests.chaos.history import Removal
from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["grow", "remake"]


def grow(world: World, step: Step) -> None:
    """One more partition, which is written to at once."""
    load = world.load(step.target)
    world.cluster.add_partitions(load.topic, load.partitions + 1)
    load.partitions += 1


def remake(world: World, step: Step) -> None:
    """Delete a topic, and make it again with as many partitions."""
    load = world.load(step.target)
    with load.paused():
        began = time.monotonic()
        number = len(world.removals)
        world.removals.append(Removal(load.topic, began, float("inf")))
        world.cluster.delete_topic(load.topic)
        world.hold(step.seconds)
        world.cluster.create_topic(load.topic, load.partitions)
        # The commits went with the topic: a group that is to begin at the end begins anew.
        world.wait_until_read((step.target,))
        world.removals[number] = Removal(load.topic, began, time.monotonic())
