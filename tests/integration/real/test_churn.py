"""No reply is lost, and none goes astray, while instances of a client come and go."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

import pytest

from kafka_patterns import KafkaContext
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import REPLY_PARTITION
from tests.support.processes import ManagedProcess

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(300)]

REPLY_PARTITIONS = 3
ROUNDS = 10
THREADS = 4


def serve_questions(peers: Peers) -> str:
    """Start a server that takes as long as it is asked to; returns its pattern."""
    pattern = peers.topic(partitions=3, replies=REPLY_PARTITIONS)
    server = peers.server(run={"workers": 16})

    @server.message_pattern(pattern, ordering="unordered")
    def echo(question: dict[str, Any], context: KafkaContext) -> dict[str, Any]:
        threading.Event().wait(question["ms"] / 1000)
        partition = int(context.message.headers[REPLY_PARTITION])
        return {"id": question["id"], "partition": partition}

    server.start()
    return pattern


class Instances:
    """The instances of one client, each a process that asks without a pause."""

    def __init__(self, peers: Peers, start_python, pattern: str) -> None:
        self._start_python = start_python
        self._pattern = pattern
        # A request that waited for the end of a session would show in the longest of all.
        self._options = peers.options(consumer={"session_timeout_ms": 30_000})
        self._numbers = itertools.count(1)
        self.tallies: list[dict[str, Any]] = []

    def join(self) -> ManagedProcess:
        """Start an instance; return when it is asking."""
        name = f"instance-{next(self._numbers)}"
        given = {
            "name": name,
            "options": self._options,
            "pattern": self._pattern,
            "threads": THREADS,
        }
        process: ManagedProcess = self._start_python(
            "-m", "tests.integration.programs.call", json.dumps(given), name=name
        )
        process.wait_for_line("^calling$", PATIENCE)
        return process

    def leave(self, process: ManagedProcess) -> None:
        """Let an instance end in good order, and note what became of its requests."""
        process.terminate()
        tally = process.wait_for_line("^tally (.*)$", 2 * PATIENCE)[1]
        self.tallies.append(json.loads(tally))
        assert process.wait() == 0


def wait_for_more(process: ManagedProcess) -> None:
    """Wait until *process* has asked another hundred questions in one of its threads."""
    asked = sum(line.startswith("asked ") for line in process.lines)
    process.wait_for_line(rf"(?s)^asked .*-0 {100 * (asked // THREADS + 1)}$", 2 * PATIENCE)


def test_no_request_is_lost_or_answered_to_the_wrong_caller(peers: Peers, start_python):
    instances = Instances(peers, start_python, serve_questions(peers))
    steady = instances.join()
    leaving, staying = instances.join(), instances.join()

    for _ in range(ROUNDS):
        instances.leave(leaving)
        # The next one to leave is the one that has been there longer: in the end, each of
        # the partitions but that of the steady instance has changed hands many times.
        leaving, staying = staying, instances.join()
    wait_for_more(steady)
    for process in (leaving, staying, steady):
        instances.leave(process)

    assert len(instances.tallies) == ROUNDS + 3
    assert [tally["failures"] for tally in instances.tallies] == [[]] * (ROUNDS + 3)
    for tally in instances.tallies:
        assert tally["answered"] > 0
        # A live instance keeps its reply partition across all joins and leaves.
        assert len(tally["partitions"]) == 1, tally
        # No request waited for a rebalance or a session to end.
        assert tally["longest"] < 15
