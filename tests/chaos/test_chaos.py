"""The promises hold, whatever happens at once."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.plan import Plan, Step
from tests.chaos.report import describe_failure, summarize
from tests.chaos.run import Outcome, run_world
from tests.chaos.settings import chosen_settings
from tests.chaos.shrink import shrink
from tests.chaos.world import World
from tests.support.processes import REPOSITORY

SETTINGS = chosen_settings()
SAVED = REPOSITORY / ".cache" / "chaos"


@pytest.mark.chaos
@pytest.mark.real_kafka
@pytest.mark.timeout(SETTINGS.limit_seconds)
def test_promises_hold_under_faults(kafka_version, tell, caplog):
    caplog.set_level(logging.CRITICAL, "kafka")  # the administrator's, of brokers that are down
    plan = SETTINGS.plan
    print(plan)
    outcome, told = run(plan, kafka_version, f"seed-{plan.seed}")
    tell(summarize(plan, outcome))
    if outcome.breaches:
        if SETTINGS.shrink_tries:
            smaller = find_smaller(plan, outcome, kafka_version, tell)
            told += f"\n\nFewer steps that fail as well:\n{smaller}"
        pytest.fail(told, pytrace=False)


def find_smaller(
    plan: Plan, outcome: Outcome, kafka_version: str, tell: Callable[[str], None]
) -> Plan:
    """Leave out steps as long as one of the same promises is broken."""
    numbers = iter(range(1, SETTINGS.shrink_tries + 1))

    def fails(steps: list[Step]) -> bool:
        fewer = plan.with_steps(steps)
        name = f"seed-{plan.seed}-shrunk-{next(numbers)}"
        again, _ = run(fewer, kafka_version, name)
        tell(f"{len(steps)} steps: {', '.join(again.breaches) or 'all kept'}")
        return bool(again.breaches.keys() & outcome.breaches.keys())

    left = shrink(plan.steps, fails, most_tries=SETTINGS.shrink_tries)
    smaller = plan.with_steps(left)
    (SAVED / f"seed-{plan.seed}" / "smaller.json").write_text(smaller.to_json(), encoding="utf-8")
    return smaller


def run(plan: Plan, kafka_version: str, name: str) -> tuple[Outcome, str]:
    """One run on a cluster of its own; what it leaves stays only if it fails."""
    saved = SAVED / name
    shutil.rmtree(saved, ignore_errors=True)
    saved.mkdir(parents=True)
    (saved / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    with (
        ChaosCluster(kafka_version) as cluster,
        contextlib.closing(World(name, plan, cluster, saved)) as world,
    ):
        outcome = run_world(world)
    told = describe_failure(plan, outcome, saved)
    (saved / "report.txt").write_text(told, encoding="utf-8")
    if not outcome.breaches:
        shutil.rmtree(saved)
    return outcome, told
