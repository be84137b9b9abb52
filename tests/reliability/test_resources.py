"""Memory, threads, sockets and file descriptors."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from tests.support.processes import ManagedProcess

MEGABYTE = 1_000_000
ALLOWED_GROWTH = 20 * MEGABYTE
SAMPLE_SECONDS = 0.25
CYCLE_SECONDS = 8.0
WORKERS = 16
HANDLER_SECONDS = 0.01


def test_memory_stays_flat_with_a_backlog(make_scenario, kafka, scale):
    # However quick the machine is: so many are left when memory has been watched long enough.
    watched_seconds = scale.warm_up_seconds + scale.memory_seconds
    assert scale.backlog > 1.5 * watched_seconds * WORKERS / HANDLER_SECONDS
    scenario = make_scenario(f"backlog of {scale.backlog:,}", kafka, keys=1_000)
    scenario.load.produce(scale.backlog)
    run = {**scenario.options()["run"], "workers": WORKERS}
    worker = scenario.start_worker(
        options=scenario.options(run=run), seconds=(HANDLER_SECONDS, HANDLER_SECONDS)
    )
    scenario.wait_until_running(worker)
    pass_time(scale.warm_up_seconds)

    before = resident(worker)
    highest = before
    watched_until = time.monotonic() + scale.memory_seconds
    while time.monotonic() < watched_until:
        pass_time(SAMPLE_SECONDS)
        highest = max(highest, resident(worker))
    handled = scenario.journal.count("finished")
    scenario.wait_until_handled(timeout=600.0)
    scenario.drain(worker)
    scenario.wait_until_committed()
    growth = (highest - before) / MEGABYTE
    scenario.conclude(
        fact=f"{before / MEGABYTE:.0f} MB and {growth:.1f} MB more in {scale.memory_seconds:g} s"
    )
    assert handled < scale.backlog, "the backlog was worked off while memory was watched"
    assert highest - before < ALLOWED_GROWTH


def test_start_and_stop_leak_nothing(make_scenario, kafka, scale, start_python):
    scenario = make_scenario(f"{scale.cycles} starts and stops", kafka, partitions=1)
    kafka.create_topic(f"{scenario.topic}.ask", 1)
    kafka.create_topic(f"{scenario.topic}.ask.reply", 1)
    arguments = {
        "options": scenario.options(),
        "topic": scenario.topic,
        "journal": str(scenario.journal.folder),
        "cycles": scale.cycles,
    }
    program = start_python("-m", "tests.reliability.programs.cycle", json.dumps(arguments))
    for cycle in range(scale.cycles):
        program.wait_for_line(f"^cycle {cycle} ready", CYCLE_SECONDS + 30.0)
        scenario.load.produce(5)
    assert program.wait(CYCLE_SECONDS * 4) == 0, program.report()

    scenario.wait_until_handled()
    scenario.wait_until_committed()
    left = [json.loads(line.removeprefix("left ")) for line in program.lines if "left " in line]
    first, last = left[0], left[-1]
    scenario.conclude(
        fact=f"{len(last['threads'])} thread, {len(last['descriptors'])} descriptors left"
    )
    assert len(left) == scale.cycles
    assert last["threads"] == ["MainThread"]
    assert len(last["descriptors"]) <= len(first["descriptors"])
    assert not [name for name in last["descriptors"] if name.startswith("socket")]


def resident(process: ManagedProcess) -> int:
    """The resident memory, in bytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def pass_time(seconds: float) -> None:
    """Let so much time pass: for how long memory is watched is part of the scenario."""
    threading.Event().wait(seconds)
