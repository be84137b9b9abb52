"""Requests while instances of one client join and leave: none is lost."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from kafka_patterns import KafkaContext
from tests.integration.peers import Peers
from tests.support.processes import ManagedProcess

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(240)]

CHANGES = 10
THREADS = 3
PATIENCE = 40.0


def test_no_request_is_lost_while_instances_join_and_leave_ten_times(peers: Peers, start_python):
    topic = peers.topic(partitions=4, replies=3)
    server = peers.server(run={"workers": 16})
    chance = random.Random(1)

    @server.message_pattern(topic, ordering="unordered")
    def answer(question: str, context: KafkaContext) -> dict[str, Any]:
        time.sleep(chance.random() * 0.05)  # requests are in flight at every change
        return {"got": question}

    with server:
        steady = [start(start_python, peers, topic, f"steady-{number}") for number in (1, 2)]
        reports = []
        for change in range(CHANGES):
            joined = start(start_python, peers, topic, f"joined-{change}")
            reports.append(end(joined))
        reports += [end(process) for process in steady]

    assert [report["problems"] for report in reports] == [[]] * len(reports)
    assert sum(report["asked"] for report in reports) > 500
    # Longer than a handler takes, but no request waited for a rebalance or a session to end.
    assert max(report["longest"] for report in reports) < 5


def start(
    start_python: Callable[..., ManagedProcess], peers: Peers, topic: str, name: str
) -> ManagedProcess:
    given = {"options": peers.options(), "topic": topic, "threads": THREADS, "timeout": 20.0}
    process = start_python("-m", "tests.integration.programs.ask", json.dumps(given), name=name)
    process.wait_for_line("asking", PATIENCE)
    return process


def end(process: ManagedProcess) -> dict[str, Any]:
    process.terminate()
    assert process.wait(PATIENCE) == 0, process.report()
    report: dict[str, Any] = json.loads(process.lines[-1])
    return report
