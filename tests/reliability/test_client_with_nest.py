"""A NestJS instance that joins and leaves a client group of Python instances."""

from __future__ import annotations

import time

import pytest

from tests.nest.peers import NestClient
from tests.reliability.callers import Callers
from tests.reliability.tally import Answer, Tally

pytestmark = pytest.mark.nest

TIMEOUT = 20.0
QUESTIONS = 50


def test_no_request_is_lost_while_a_nest_instance_joins_and_leaves(make_callers, kafka, scale):
    callers = make_callers("NestJS joins and leaves", kafka, reply_partitions=4)
    callers.start_server()
    steady = [callers.start_client() for _ in range(2)]
    group_id = callers.options()["consumer"]["group_id"]

    for number in range(scale.nest_joins):
        with NestClient(kafka.bootstrap_servers, group_id) as nest:
            nest.connect([callers.pattern])
            callers.total.add(ask_with(nest, callers, f"nest-{number}"))
            for client in steady:
                callers.wait_for_replies(client, threads=10)
    tallies = [callers.leave(client) for client in steady]

    callers.conclude(fact=f"{scale.nest_joins} times; beside 2 steady Python instances")
    assert [len(tally.partitions) for tally in tallies] == [1, 1]


def ask_with(nest: NestClient, callers: Callers, name: str) -> Tally:
    """Let the NestJS instance ask; each question must get its own answer."""
    tally = Tally()
    for number in range(QUESTIONS):
        question = f"{name}-{number}"
        began = time.monotonic()
        ended = nest.send(callers.pattern, {"id": question, "ms": number % 50}, TIMEOUT)
        assert len(ended.values) == 1, f"{question} ended as {ended}"
        took = time.monotonic() - began
        tally.note(question, Answer(**ended.values[0]), took=took, timeout=TIMEOUT)
    return tally
