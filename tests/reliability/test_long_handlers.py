"""Handlers that run longer than any of the group's limits."""

from __future__ import annotations

import threading

SESSION_SECONDS = 6.0


def test_long_handlers_are_not_evicted(make_scenario, kafka, scale):
    scenario = make_scenario("handlers longer than max_poll_interval", kafka)
    consumer = {
        **scenario.options()["consumer"],
        "max_poll_interval_ms": scale.max_poll_interval_ms,
    }
    long = scale.long_handler_seconds
    settings = {
        "options": scenario.options(
            consumer=consumer, run={**scenario.options()["run"], "workers": 12}
        ),
        "seconds": (long, long),
    }
    # Given two members that settled: what one loses, the other would handle again.
    workers = [scenario.start_worker(**settings) for _ in range(2)]
    scenario.wait_until_shared(workers)
    members = scenario.group.members()
    generations = [scenario.generations(worker) for worker in workers]
    scenario.load.produce(12)
    scenario.wait_until_handled(timeout=5 * long)

    assert scenario.group.members() == members
    assert [scenario.generations(worker) for worker in workers] == generations
    for worker in workers:
        scenario.drain(worker)
    scenario.wait_until_committed()
    scenario.conclude(fact=f"{long:g} s with a limit of {scale.max_poll_interval_ms / 1000:g} s")


def test_blocked_workers_cause_no_rebalance(make_scenario, kafka):
    scenario = make_scenario("all workers blocked past the session timeout", kafka)
    gate = scenario.journal.folder / "gate"
    workers = [scenario.start_worker(gate=str(gate)) for _ in range(2)]
    scenario.wait_until_shared(workers)
    members = scenario.group.members()
    generations = [scenario.generations(worker) for worker in workers]
    scenario.load.produce(1_000)
    for worker in workers:
        scenario.wait_until_running(worker, count=16)

    threading.Event().wait(2.5 * SESSION_SECONDS)
    assert [len(scenario.journal.running(worker.pid)) for worker in workers] == [16, 16]
    assert scenario.group.members() == members
    gate.touch()
    scenario.wait_until_handled()

    assert scenario.group.members() == members
    assert [scenario.generations(worker) for worker in workers] == generations
    for worker in workers:
        scenario.drain(worker)
    scenario.wait_until_committed()
    scenario.conclude(fact=f"blocked for {2.5 * SESSION_SECONDS:g} s of {SESSION_SECONDS:g} s")
