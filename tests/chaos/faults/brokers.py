"""What happens to one broker of three."""

from __future__ import annotations

import resource

from tests.chaos.plan import Step
from tests.chaos.world import World
from tests.reliability.coordinator import GroupUnknown
from tests.support.waiting import eventually

__all__ = ["fill_disk", "kill", "move_coordinator"]


def kill(world: World, step: Step) -> None:
    """SIGKILL, and a new start after a while."""
    with world.broker_down(str(step)):
        world.cluster.node(step.target).kill()
        world.hold(step.seconds)
        world.cluster.bring_back(step.target)


def fill_disk(world: World, step: Step) -> None:
    """No file of its may grow any more: to Kafka that is a broken disk, and it gives up."""
    with world.broker_down(str(step)):
        node = world.cluster.node(step.target)
        _, hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        world.hold(step.seconds)
        node.kill()
        world.cluster.bring_back(step.target)


def move_coordinator(world: World, step: Step) -> None:
    """Stop the broker that coordinates the group, start it, and give it back what it led."""
    with world.broker_down(str(step)):
        name = _coordinator(world)
        world.cluster.node(name).stop()
        world.hold(step.seconds)
        world.cluster.bring_back(name)
        world.cluster.prefer_leaders()


def _coordinator(world: World) -> str:
    address = eventually(world.group.coordinator, retry_on=GroupUnknown)
    return next(
        f"broker-{node.node_id}"
        for node in world.cluster.kafka.nodes
        if node.bootstrap_server == address
    )
