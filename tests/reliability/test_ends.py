"""Workers that end: killed, drained, or told twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

from kafka_patterns import ExitCode
from tests.reliability.journal import Position
from tests.reliability.scenario import JOIN_SECONDS
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

QUICK_SESSION = {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 300}


def test_killed_workers_lose_nothing(make_scenario, kafka, scale):
    scenario = make_scenario("worker killed mid-handler", kafka)
    consumer = {"group_id": scenario.topic, **QUICK_SESSION}
    settings = {"options": scenario.options(consumer=consumer), "seconds": (0.02, 0.1)}
    workers = [scenario.start_worker(**settings) for _ in range(2)]
    scenario.load.start(rate=150)

    unfinished = []
    for kill in range(scale.kills):
        victim = workers[kill % 2]
        scenario.wait_until_running(victim)
        running: set[Position] = set()
        while not running:  # a kill between two handlers proves nothing
            time.sleep(random.uniform(0.0, 0.5))
            running = scenario.journal.running(victim.pid)
        scenario.kill_worker(victim)
        unfinished.append(len(scenario.journal.running(victim.pid)))
        workers[kill % 2] = scenario.start_worker(**settings)
    scenario.load.stop()
    scenario.wait_until_handled()
    for worker in workers:
        scenario.drain(worker)

    scenario.wait_until_committed()
    hits = sum(count > 0 for count in unfinished)
    scenario.conclude(fact=f"{hits} of {scale.kills} kills hit running handlers")
    assert hits > 0


def test_sigterm_drains_slow_handlers(make_scenario, kafka):
    scenario = make_scenario("SIGTERM with slow handlers", kafka)
    scenario.load.produce(120)
    worker = scenario.start_worker(seconds=(1.0, 2.0))
    running = scenario.wait_until_running(worker, count=16)
    began = time.monotonic()
    scenario.drain(worker)
    took = time.monotonic() - began
    assert scenario.journal.running(worker.pid) == set()
    assert running <= scenario.journal.first_finish.keys()
    assert scenario.journal.count("finished") < 120

    scenario.drain_all(scenario.start_worker())
    scenario.conclude(fact=f"drained in {took:.1f} s")


def test_second_sigterm_ends_at_once(make_scenario, kafka):
    scenario = make_scenario("second SIGTERM", kafka)
    scenario.load.produce(120)
    worker = scenario.start_worker(seconds=(60.0, 60.0))
    running = scenario.wait_until_running(worker, count=16)
    threads = count_threads(worker)
    worker.terminate()
    # Two signals at the same time would be one; the fetcher's end shows that the first came.
    eventually(lambda: count_threads(worker) < threads)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(5.0) == ExitCode.KILLED
    took = time.monotonic() - began
    scenario.add_loss(began, worker.pid)
    assert took < 5.0  # the handlers take 60

    scenario.drain_all(scenario.start_worker())
    assert all(scenario.journal.starts()[position] == 2 for position in running)
    scenario.conclude(fact=f"ended in {took:.2f} s")


def count_threads(worker: ManagedProcess) -> int:
    return len(list(Path(f"/proc/{worker.pid}/task").iterdir()))


def test_stop_ends_in_time_without_a_coordinator(make_scenario, kafka):
    scenario = make_scenario("coordinator dead at stop", kafka)
    run = scenario.options()["run"]
    settings = {
        "options": scenario.options(run={**run, "stop_timeout_ms": 10_000}),
        "seconds": (0.01, 0.05),
    }
    took = []
    scenario.load.start(rate=200)
    for take_away, bring_back in ((kafka.kill, kafka.start), (kafka.pause, kafka.resume)):
        worker = scenario.start_worker(**settings)
        scenario.wait_until_running(worker)
        take_away()
        began = time.monotonic()
        worker.terminate()
        assert worker.wait(JOIN_SECONDS) == ExitCode.OK
        took.append(time.monotonic() - began)
        scenario.add_loss(began, worker.pid)
        bring_back()
    scenario.load.stop()

    scenario.drain_all(scenario.start_worker())
    scenario.conclude(fact=f"ended in {took[0]:.1f} s (killed), {took[1]:.1f} s (frozen)")
    assert max(took) < 13.0  # stop_timeout_ms, and the end of an interpreter
