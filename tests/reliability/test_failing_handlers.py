"""Handlers that fail, poison and kills: every record is handled or a dead letter."""

from __future__ import annotations

import random
import struct
from contextlib import closing

import pytest

from tests.integration.wire import Wire, WireRecord
from tests.reliability.journal import Position
from tests.support.waiting import eventually

KILLS = 5
PATIENCE = 120.0
ADDED = "kafka_dlt-"


def origin(letter: WireRecord) -> Position:
    """Where a dead letter came from, by Spring's rules."""
    (partition,) = struct.unpack(">i", letter.header(f"{ADDED}original-partition"))
    (offset,) = struct.unpack(">q", letter.header(f"{ADDED}original-offset"))
    return Position(letter.header(f"{ADDED}original-topic").decode(), partition, offset)


def content(record: WireRecord):
    """What must be the same in a dead letter."""
    kept = [pair for pair in record.headers if not pair[0].startswith(ADDED)]
    return record.key, record.value, kept


@pytest.mark.parametrize("ordering", ["key", "partition", "unordered"])
def test_every_record_is_handled_or_a_dead_letter(make_scenario, kafka, scale, ordering):
    scenario = make_scenario(f"failing handlers, {ordering}", kafka)
    kafka.create_topic(f"{scenario.topic}-dlt", 4)
    always, poison = produce(scenario, scale.failing_backlog)
    total = len(scenario.load.produced) + poison
    run = {**scenario.options()["run"], "ordering": ordering}
    settings = {"options": scenario.options(run=run), "dead_letters": True}

    with closing(Wire(kafka.bootstrap_servers)) as wire:
        for number in range(1, KILLS + 1):
            worker = scenario.start_worker(wait=False, **settings)
            wait_for_finished(scenario, number * len(scenario.load.produced) // (KILLS + 2))
            scenario.kill_worker(worker)
        worker = scenario.start_worker(wait=False, **settings)
        eventually(
            lambda: sum(scenario.group.committed().values()) == total,
            PATIENCE,
            describe=lambda: f"{total} committed; {worker.report()}",
        )
        scenario.drain(worker)
        records = wire.records(scenario.topic)
        letters = wire.records(f"{scenario.topic}-dlt")

    originals = {Position(scenario.topic, r.partition, r.offset): r for r in records}
    dead = {origin(letter) for letter in letters}
    changed = [one for one in letters if content(one) != content(originals[origin(one)])]
    assert changed == []
    assert originals.keys() - scenario.journal.first_finish.keys() == dead
    assert len(dead) == poison + always
    if ordering != "unordered":
        assert scenario.journal.completion_order_violations() == []
    repeated = len(letters) - len(dead)
    scenario.conclude(
        fact=f"{KILLS} kills, {len(dead):,} dead letters, {repeated} of them twice",
        ordered=False,
        dead_letters=dead,
    )


def wait_for_finished(scenario, count: int) -> None:
    eventually(
        lambda: len(scenario.journal.first_finish) > count, PATIENCE, describe=f"{count} finished"
    )


def produce(scenario, count: int) -> tuple[int, int]:
    """20 % of *count* records fail once, 5 % always, and 1 % more are poison.

    :returns: how many always fail, and how many are poison.
    """
    chance = random.Random(4)
    kinds = ["once"] * (count // 5) + ["always"] * (count // 20)
    kinds += [""] * (count - len(kinds))
    chance.shuffle(kinds)
    poison = 0
    for number, fails in enumerate(kinds):
        scenario.load.request([("number", b"%d" % number), ("null", None)], fails=fails)
        if number % 100 == 0:
            scenario.load.produce_raw(chance.randbytes(20), key=b"poison-%d" % number)
            poison += 1
    scenario.load.flush()
    return kinds.count("always"), poison
