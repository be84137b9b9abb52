"""One run's topics, load and processes, and what is known of them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.cluster import ChaosCluster
from tests.chaos.fleet import Fleet, Member
from tests.chaos.history import Loss, Removal
from tests.chaos.kinds import CLIENTS, SERVERS, SESSION_SECONDS
from tests.chaos.load import KeyedLoad
from tests.chaos.plan import Plan
from tests.reliability.commits import CommitWatch
from tests.reliability.coordinator import Group, GroupUnknown
from tests.support.waiting import eventually

__all__ = ["COMMIT_WINDOW_SECONDS", "MAX_IN_FLIGHT", "SETTLE_SECONDS", "World"]

MAX_IN_FLIGHT = 100
SETTLE_SECONDS = SESSION_SECONDS + 6.0
"""In which what a fault harmed has noticed that it is over."""

COMMIT_WINDOW_SECONDS = 2.0
"""The interval of commits, and the longest time that one takes on a busy machine."""

_COMMIT_INTERVAL_MS = 500
_PARTITIONS = 3
_WATCH_SECONDS = 0.25
_START_SECONDS = 120.0
_RATE = 20
"""Events a second in each topic."""


class World:
    """Everything that a plan plays with.

    :param name: begins the names of the topics and of the group.
    :param folder: an own one, for what the processes write.
    """

    def __init__(self, name: str, plan: Plan, cluster: ChaosCluster, folder: Path) -> None:
        self.name = name
        self.plan = plan
        self.cluster = cluster
        self.folder = folder
        self.losses: list[Loss] = []
        self.removals: list[Removal] = []
        self.disturbances: list[tuple[float, float]] = []
        self.outages: list[tuple[float, float]] = []
        self.loads: dict[str, KeyedLoad] = {}
        self.handled_topics: list[str] = []
        self.group = Group(cluster.servers, f"{name}-server")
        self.commits = CommitWatch(self.group, _WATCH_SECONDS)
        self.fleet = Fleet(
            [
                *(Member(name, "serve", self._serving, folder) for name in SERVERS),
                *(Member(name, "ask", self._asking, folder) for name in CLIENTS),
            ]
        )
        # On a slow machine a broker may still be on its way back when the next one is to go.
        self._one_broker_down = threading.Lock()
        self._hurry = threading.Event()

    def topic(self, role: str) -> str:
        """The name of a topic."""
        return f"{self.name}.{role}"

    def load(self, role: str) -> KeyedLoad:
        """What is written to a topic."""
        return self.loads[role]

    def start(self) -> None:
        """Make the topics, start the processes, and then the load."""
        for role in ("requests", "streams"):
            self.cluster.create_topic(self.topic(role), _PARTITIONS)
            self.cluster.create_topic(f"{self.topic(role)}.reply", 2 * len(CLIENTS))
        roles = ("events", "fragile", "guarded")
        for role in roles:
            self.make_topic(role)
        self.fleet.start()
        self.fleet.wait_until_connected(_START_SECONDS)
        self.wait_until_read(roles)
        for role in roles:
            self.start_load(role)

    def make_topic(self, role: str) -> None:
        """Make a topic of events; servers that start from now on handle it."""
        self.cluster.create_topic(self.topic(role), _PARTITIONS)
        self.cluster.create_topic(f"{self.topic(role)}-dlt", _PARTITIONS)
        self.handled_topics.append(self.topic(role))

    def start_load(self, role: str) -> None:
        """Write to a topic until the end."""
        load = KeyedLoad(
            self.cluster.servers, self.topic(role), _PARTITIONS, may_vanish=role == "fragile"
        )
        self.loads[role] = load
        load.start(_RATE)

    def wait_until_read(self, roles: tuple[str, ...]) -> None:
        """Wait until the group has begun: what is written from now on is its to handle."""
        if not self.plan.from_beginning:
            wanted = {(self.topic(role), number) for role in roles for number in range(_PARTITIONS)}
            eventually(
                lambda: self.group.committed().keys() >= wanted,
                _START_SECONDS,
                describe="a committed position of each partition",
                retry_on=GroupUnknown,
            )

    def hold(self, seconds: float) -> None:
        """Let a fault last, unless the run ends early."""
        self._hurry.wait(seconds)

    @contextlib.contextmanager
    def losing(
        self, reason: str, pid: int | None = None, topic: str | None = None
    ) -> Iterator[None]:
        """What is not committed at the beginning may come again.

        :param pid: of the server this is about; all if not given.
        :param topic: that this is about; all if not given.
        """
        began = time.monotonic()
        # Known from the beginning: a run that fails meanwhile is judged as well.
        number = len(self.losses)
        self.losses.append(Loss(pid, began, float("inf"), reason, topic))
        try:
            yield
        finally:
            ended = time.monotonic() + SETTLE_SECONDS
            self.losses[number] = Loss(pid, began, ended, reason, topic)

    @contextlib.contextmanager
    def broker_down(self, reason: str) -> Iterator[None]:
        """A broker is away meanwhile, and back at the end; one at a time."""
        with self._one_broker_down, self.losing(reason):
            began = time.monotonic()
            try:
                yield
            finally:
                self.outages.append((began, time.monotonic() + SETTLE_SECONDS))

    def close(self) -> None:
        """End all."""
        self._hurry.set()
        for load in self.loads.values():
            load.close()
        self.fleet.close()
        self.commits.close()

    def _serving(self) -> dict[str, Any]:
        options = self._options(
            "server",
            subscribe={"from_beginning": self.plan.from_beginning},
            run={
                "workers": 8,
                "ordering": "key",
                "max_in_flight": MAX_IN_FLIGHT,
                "auto_commit_interval_ms": _COMMIT_INTERVAL_MS,
            },
        )
        return {
            "options": options,
            "folder": str(self.folder),
            "events": list(self.handled_topics),
            "requests": self.topic("requests"),
            "streams": self.topic("streams"),
        }

    def _asking(self) -> dict[str, Any]:
        return {
            "options": self._options("client"),
            "folder": str(self.folder),
            "requests": self.topic("requests"),
            "streams": self.topic("streams"),
            "threads": 3,
            "timeout": 8.0,
            "pause": 0.2,
        }

    def _options(self, role: str, **sections: dict[str, Any]) -> dict[str, Any]:
        return {
            "client": {"client_id": role, "brokers": self.cluster.proxied_servers},
            "consumer": {
                "group_id": self.name,
                "session_timeout_ms": int(SESSION_SECONDS * 1000),
                "heartbeat_interval_ms": 500,
                "metadata_max_age_ms": 5_000,
            },
            **sections,
        }
