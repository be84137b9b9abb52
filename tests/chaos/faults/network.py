"""What happens to the connections between those under test and one broker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.chaos.plan import Step
from tests.chaos.world import World
from tests.support.tcp_proxy import Faults, TcpProxy

__all__ = ["cut_into_pieces", "delay", "drop", "refuse", "stall"]

_PIECE_SECONDS = 0.001


def delay(world: World, step: Step) -> None:
    """All that comes or goes is late."""
    with _harmed(world, step) as proxy:
        proxy.set_faults(Faults(delay_seconds=step.details["milliseconds"] / 1000))


def cut_into_pieces(world: World, step: Step) -> None:
    """Bytes come a few at a time."""
    with _harmed(world, step) as proxy:
        proxy.set_faults(Faults(piece_bytes=step.details["bytes"], piece_seconds=_PIECE_SECONDS))


def stall(world: World, step: Step) -> None:
    """Nothing gets through in one direction, and all of it later."""
    up = step.details["way"] == "up"
    with _harmed(world, step) as proxy:
        proxy.set_faults(Faults(stall_to_broker=up, stall_to_client=not up))


def drop(world: World, step: Step) -> None:
    """A middlebox forgets all connections, and tells nobody."""
    with _harmed(world, step) as proxy:
        proxy.drop_silently()


def refuse(world: World, step: Step) -> None:
    """Connections are reset, and no new ones taken."""
    with _harmed(world, step) as proxy:
        proxy.refuse()


@contextlib.contextmanager
def _harmed(world: World, step: Step) -> Iterator[TcpProxy]:
    """What the block does to the proxy lasts as long as the step says."""
    proxy = world.cluster.proxies[step.target]
    with world.losing(str(step)):
        try:
            yield proxy
            world.hold(step.seconds)
        finally:
            proxy.heal()
