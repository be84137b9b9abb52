"""Whether all is well again after the last fault."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.chaos.checker.requests import REPLIED
from tests.chaos.dead_letters import read_dead_letters
from tests.chaos.history import RecordId, is_gone, record_of
from tests.chaos.notes import read_notes
from tests.chaos.world import World
from tests.reliability.coordinator import GroupUnknown
from tests.reliability.journal import FINISHED, Journal
from tests.support.waiting import eventually

__all__ = ["Recovery"]

_WELL_SECONDS = 90.0
_HANDLED_SECONDS = 60.0
_COMMITTED_SECONDS = 30.0
_LOOK_SECONDS = 0.3
_SHOWN = 5


class Recovery:
    """Waits for the facts one by one, and keeps in words what does not become true."""

    def __init__(self, world: World) -> None:
        self.missing: list[str] = []
        self._world = world
        self._journal = Journal(world.folder)

    def wait_until_well(self) -> None:
        """Wait until every member is connected, and every client is answered."""
        since = time.monotonic()
        self._wait(lambda: self._unwell(since), _WELL_SECONDS)

    def wait_until_handled(self) -> None:
        """Wait until everything that was written is handled, or a dead letter."""
        self._wait(self._unhandled, _HANDLED_SECONDS)

    def wait_until_committed(self) -> None:
        """Wait until the committed offsets say so."""
        self._wait(self._uncommitted, _COMMITTED_SECONDS)

    def _wait(self, ask: Callable[[], list[str]], timeout: float) -> None:
        """Wait until *ask* tells nothing any more."""
        told: list[str] = []

        def is_well() -> bool:
            nonlocal told
            told = ask()
            if told:
                self._world.hold(_LOOK_SECONDS)
            return not told

        try:
            eventually(is_well, timeout)
        except AssertionError:
            self.missing.append(f"after {timeout:g} s: {len(told)} x {'; '.join(told[:_SHOWN])}")

    def _unwell(self, since: float) -> list[str]:
        folder = self._world.folder
        status = {pid: told for told, pid, _ in read_notes(folder, "status")}
        asked_at = {request: at for request, _, _, _, at in read_notes(folder, "asked")}
        answered = {
            pid
            for request, outcome, _, pid, _ in read_notes(folder, "ended")
            if outcome == REPLIED and asked_at[request] >= since
        }
        told = []
        for name, member in self._world.fleet.members.items():
            if not member.is_running:
                told.append(f"{name} does not run")
                continue
            pid = member.process.pid
            if status.get(pid) != "connected":
                told.append(f"{name} ({pid}) is {status.get(pid)}")
            if name.startswith("client") and pid not in answered:
                told.append(f"{name} ({pid}) gets no reply")
        return told

    def _unhandled(self) -> list[str]:
        world = self._world
        handled: set[RecordId] = {
            record_of(entry) for entry in self._journal.entries if entry.event == FINISHED
        }
        poison = {record for load in world.loads.values() for record in load.poison}
        wanted = {
            produced.record
            for load in world.loads.values()
            for produced in load.written
            if not is_gone(produced, world.removals)
        }
        left = wanted - poison - handled
        if not left and wanted & poison:
            left = (wanted & poison) - read_dead_letters(
                world.cluster.servers, world.handled_topics
            )
        return [str(record) for record in sorted(left)]

    def _uncommitted(self) -> list[str]:
        ends: dict[tuple[str, int], int] = {}
        for load in self._world.loads.values():
            for produced in load.written:
                if not is_gone(produced, self._world.removals):
                    topic, partition, offset = produced.position
                    ends[topic, partition] = max(offset + 1, ends.get((topic, partition), 0))
        try:
            found = self._world.group.committed()
        except GroupUnknown as error:
            return [str(error)]
        return [
            f"{partition}: {found.get(partition)} of {end}"
            for partition, end in ends.items()
            if found.get(partition, -1) < end
        ]
