"""A new version of the servers, one after the other."""

from __future__ import annotations

from tests.chaos.kinds import SERVERS
from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["deploy"]


def deploy(world: World, step: Step) -> None:
    """Restart all servers in turn, with a handler for one more topic, which is then used."""
    role = f"added-{len(world.handled_topics)}"
    world.make_topic(role)
    for server in SERVERS:
        world.fleet[server].stop()
        world.fleet[server].start()
        world.hold(step.seconds / len(SERVERS))
    world.wait_until_read((role,))
    world.start_load(role)
