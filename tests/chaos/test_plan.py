from __future__ import annotations

import itertools

import pytest

from tests.chaos.kinds import KINDS, SESSION_SECONDS
from tests.chaos.plan import Plan, make_plan

SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_gives_the_same_plan(seed):
    assert make_plan(seed, 120) == make_plan(seed, 120)


def test_other_seeds_give_other_plans():
    assert len({str(make_plan(seed, 120).steps) for seed in SEEDS}) == len(SEEDS)


def test_plan_survives_a_file():
    plan = make_plan(3, 120)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_ends_before_the_plan(seed):
    plan = make_plan(seed, 60)
    assert plan.steps
    assert all(step.at > 0 and step.ends_at <= 60 for step in plan.steps)


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_that_need_the_same_thing_do_not_overlap(seed):
    steps = make_plan(seed, 300).steps
    for one, other in itertools.combinations(steps, 2):
        shared = KINDS[one.fault].needs(one.target) & KINDS[other.fault].needs(other.target)
        assert not shared or other.at >= one.ends_at


def test_faults_overlap():
    steps = make_plan(1, 120).steps
    pairs = itertools.pairwise(steps)
    assert any(later.at < earlier.ends_at for earlier, later in pairs)


def test_all_kinds_are_drawn():
    drawn = {step.fault for seed in SEEDS for step in make_plan(seed, 300).steps}
    assert drawn == KINDS.keys()


def test_only_the_kinds_asked_for_are_drawn():
    drawn = {step.fault for seed in SEEDS for step in make_plan(seed, 60, ["kill", "stop"]).steps}
    assert drawn == {"kill", "stop"}


def test_freezes_last_longer_than_the_session():
    frozen = [
        step for seed in SEEDS for step in make_plan(seed, 120).steps if step.fault == "freeze"
    ]
    assert frozen
    assert all(step.seconds > SESSION_SECONDS for step in frozen)
