"""How each kind of fault strikes, lasts and is taken back."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.faults import brokers, deployment, network, processes, records, rights, topics
from tests.chaos.plan import Step
from tests.chaos.world import World

__all__ = ["STRIKES"]

STRIKES: dict[str, Callable[[World, Step], None]] = {
    "kill": processes.kill,
    "freeze": processes.freeze,
    "stop": processes.stop,
    "clock": processes.shift_clock,
    "deploy": deployment.deploy,
    "grow": topics.grow,
    "remake": topics.remake,
    "seek": records.seek,
    "poison": records.add_poison,
    "forbid": rights.forbid,
    "broker-kill": brokers.kill,
    "broker-full": brokers.fill_disk,
    "coordinator": brokers.move_coordinator,
    "delay": network.delay,
    "pieces": network.cut_into_pieces,
    "stall": network.stall,
    "drop": network.drop,
    "refuse": network.refuse,
}
"""By the name of the kind; each returns when the fault is over."""
