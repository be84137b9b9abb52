"""Makes the history of a world's run from what everybody noted."""

from __future__ import annotations

from tests.chaos.dead_letters import read_dead_letters
from tests.chaos.history import Asked, Ended, History, Seek, StatusChange
from tests.chaos.notes import read_notes
from tests.chaos.world import COMMIT_WINDOW_SECONDS, MAX_IN_FLIGHT, World
from tests.reliability.journal import Journal

__all__ = ["take_account"]

_SEEK_SECONDS = 3.0
"""In which a seek that was asked for is made."""


def take_account(world: World, *, calm_since: float, ended_at: float) -> History:
    """What happened, for the checker."""
    loads = world.loads.values()
    return History(
        produced=sorted(
            (produced for load in loads for produced in load.written),
            key=lambda produced: produced.acknowledged_at,
        ),
        entries=Journal(world.folder).entries,
        committed=list(world.commits.seen),
        losses=list(world.losses),
        removals=list(world.removals),
        seeks=[
            Seek((topic, partition), offset, began, at + _SEEK_SECONDS)
            for topic, partition, offset, began, _pid, at in read_notes(world.folder, "seek")
        ],
        poison={record for load in loads for record in load.poison},
        dead_letters=read_dead_letters(world.cluster.servers, world.handled_topics),
        asked=[
            Asked(request, pid, items, timeout, at)
            for request, items, timeout, pid, at in read_notes(world.folder, "asked")
        ],
        ended=[
            Ended(request, outcome, replies, at)
            for request, outcome, replies, _pid, at in read_notes(world.folder, "ended")
        ],
        statuses=[
            StatusChange(pid, status, at) for status, pid, at in read_notes(world.folder, "status")
        ],
        usages=list(world.fleet.usages),
        deaths=world.fleet.deaths,
        disturbances=list(world.disturbances),
        outages=list(world.outages),
        calm_since=calm_since,
        ended_at=ended_at,
        commit_window=COMMIT_WINDOW_SECONDS,
        max_in_flight=MAX_IN_FLIGHT,
    )
