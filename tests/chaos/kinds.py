"""The kinds of faults: whom each can strike, for how long, and what it needs for itself alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["BROKERS", "CLIENTS", "KINDS", "SERVERS", "Kind"]

SERVERS = ("server-1", "server-2", "server-3")
CLIENTS = ("client-1", "client-2")
BROKERS = ("broker-1", "broker-2", "broker-3")

SESSION_SECONDS = 6.0
"""Of every member: a process that is frozen for longer is put out of its group."""


def _nothing(_: random.Random) -> dict[str, Any]:
    return {}


def _number(name: str, *values: float) -> Callable[[random.Random], dict[str, Any]]:
    return lambda source: {name: source.choice(values)}


@attrs.frozen
class Kind:
    """One kind of fault.

    :param seconds: the shortest and the longest time it lasts.
    :param weight: how often it is drawn beside the others.
    :param shared: what no two faults may use at a time, beside their target.
    :param recovery_seconds: for so long after it what it used is left alone.
    :param draw: makes the details of a step.
    """

    name: str
    targets: tuple[str, ...]
    seconds: tuple[float, float]
    weight: float = 1.0
    shared: frozenset[str] = frozenset()
    recovery_seconds: float = 2.0
    draw: Callable[[random.Random], dict[str, Any]] = _nothing

    def needs(self, target: str) -> frozenset[str]:
        """What a step of this kind has for itself."""
        return self.shared | {target}


# Of three brokers two must run, so one at a time goes down.
_BROKER = frozenset({"a broker"})
# A deployment restarts all servers.
_ALL_SERVERS = frozenset(SERVERS)

_ALL = (
    Kind("kill", (*SERVERS, *CLIENTS), (0.0, 3.0), 3.0),
    Kind("freeze", SERVERS, (SESSION_SECONDS + 2, SESSION_SECONDS + 8), 2.0),
    Kind("stop", (*SERVERS, *CLIENTS), (0.0, 3.0), 2.0),
    Kind("clock", (*SERVERS, *CLIENTS), (5.0, 15.0), draw=_number("shift", -3600, -30, 30, 3600)),
    Kind("deploy", ("servers",), (10.0, 20.0), shared=_ALL_SERVERS, recovery_seconds=10.0),
    Kind("grow", ("events",), (2.0, 2.0), recovery_seconds=5.0),
    Kind("remake", ("fragile",), (2.0, 5.0), recovery_seconds=15.0),
    Kind("seek", SERVERS, (2.0, 2.0), draw=_number("back", 1, 10, 100)),
    Kind("forbid", ("guarded",), (4.0, 10.0), recovery_seconds=5.0),
    Kind("poison", ("events",), (1.0, 3.0), draw=_number("count", 1, 5, 20)),
    Kind("broker-kill", BROKERS, (2.0, 6.0), shared=_BROKER, recovery_seconds=20.0),
    Kind("broker-full", BROKERS, (4.0, 8.0), 0.5, _BROKER, recovery_seconds=20.0),
    Kind("coordinator", ("the group",), (6.0, 8.0), shared=_BROKER, recovery_seconds=20.0),
    Kind("delay", BROKERS, (3.0, 12.0), draw=_number("milliseconds", 20, 200, 1000)),
    Kind("pieces", BROKERS, (3.0, 12.0), draw=_number("bytes", 1, 7, 1460)),
    Kind("stall", BROKERS, (3.0, 15.0), draw=lambda source: {"way": source.choice(["up", "down"])}),
    Kind("drop", BROKERS, (3.0, 15.0)),
    Kind("refuse", BROKERS, (2.0, 10.0)),
)

KINDS = {kind.name: kind for kind in _ALL}
"""All of them, by name."""
