"""Members that come, go, and come back from the dead."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.reliability.journal import STARTED, Position
from tests.reliability.scenario import Scenario
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

SESSION_SECONDS = 3.0
HANDLER_SECONDS = 2.0


def test_joins_and_leaves_keep_the_order_of_keys(make_scenario, kafka, scale):
    scenario = make_scenario(f"{scale.joins} joins and leaves", kafka, partitions=6)
    settings = {"seconds": (0.005, 0.06)}
    steady = scenario.start_worker(**settings)
    scenario.load.start(rate=200)

    for _ in range(scale.joins):
        guest = scenario.start_worker(**settings)
        scenario.wait_until_running(guest)
        scenario.drain(guest)
    scenario.load.stop()
    scenario.drain_all(steady)

    by_guests = sum(pid != steady.pid for pid in scenario.journal.pids)
    scenario.conclude(fact=f"{by_guests} guests handled something")
    assert by_guests == scale.joins


def test_thawed_worker_commits_nothing_stale(make_scenario, kafka):
    scenario = make_scenario("worker frozen past its session timeout", kafka)
    consumer = {
        **scenario.options()["consumer"],
        "session_timeout_ms": int(SESSION_SECONDS * 1000),
        "heartbeat_interval_ms": 300,
    }
    settings = {
        "options": scenario.options(consumer=consumer),
        "seconds": (HANDLER_SECONDS, HANDLER_SECONDS),
    }
    frozen, other = (scenario.start_worker(**settings) for _ in range(2))
    scenario.wait_until_shared([frozen, other])
    scenario.load.produce(160)
    running = scenario.wait_until_running(frozen, count=16)
    began = time.monotonic()
    frozen.pause()
    scenario.add_loss(began, frozen.pid)

    # Given that the other one works on what the frozen one had, and has not finished it yet.
    at_least(4, lambda: running & scenario.journal.running(other.pid))
    thawed = time.monotonic()
    frozen.resume()
    at_least(16, lambda: scenario.finished_by(frozen, since=thawed) & running)
    scenario.wait_until_handled(timeout=120.0)
    for worker in (frozen, other):
        scenario.drain(worker)
    scenario.wait_until_committed()

    # What the frozen one finished of its own after the thaw counts for nothing: every record
    # was finished by whoever had it then, before it was committed.
    finished = finishes_without_stale(scenario, frozen, running)
    assert finished.keys() == scenario.load.produced.keys()
    assert scenario.commits.gaps(scenario.load.produced.keys(), finished) == []
    again = scenario.journal.starts(frozen.pid).keys() - running
    scenario.conclude(fact=f"{len(running)} stale completions; then {len(again)} more of its own")
    assert again


def at_least(count: int, find: Callable[[], set[Position]]) -> set[Position]:
    """Wait until *find* returns so many."""
    return eventually(lambda: found if len(found := find()) >= count else set(), 30.0)


def finishes_without_stale(
    scenario: Scenario, frozen: ManagedProcess, running: set[Position]
) -> dict[Position, float]:
    """When each record was finished, without the first finish of what ran during the freeze."""
    stale = set(running)
    finished: dict[Position, float] = {}
    for entry in sorted(scenario.journal.entries, key=lambda entry: entry.at):
        if entry.event == STARTED:
            continue
        if entry.pid == frozen.pid and entry.position in stale:
            stale.discard(entry.position)
        else:
            finished.setdefault(entry.position, entry.at)
    return finished
