"""One scenario: a topic, a load, workers that come and go, and the account of it at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs

from tests.reliability.commits import CommitWatch, commit_round_trip
from tests.reliability.coordinator import Group, GroupUnknown
from tests.reliability.journal import FINISHED, Journal, Position
from tests.reliability.load import Load
from tests.reliability.table import Row
from tests.support.kafka_server import KafkaCluster
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

__all__ = ["JOIN_SECONDS", "MAX_IN_FLIGHT", "Scenario"]

JOIN_SECONDS = 40.0
"""In which a worker has started and joined, also while a dead member is still in the group."""

MAX_IN_FLIGHT = 200
COMMIT_INTERVAL_MS = 500

_COMMITTED_SECONDS = 30.0
_PROGRAM = "tests.reliability.programs.serve"


@attrs.frozen
class _Loss:
    """Something that takes with it what a worker has not committed."""

    pid: int | None
    began: float
    ended: float


class Scenario:
    """Runs one scenario and adds its row to the table.

    :param name: the first column.
    :param folder: for the journals.
    :param partitions: of the topic.
    """

    def __init__(
        self,
        name: str,
        cluster: KafkaCluster,
        topic: str,
        folder: Path,
        start_python: Callable[..., ManagedProcess],
        add_row: Callable[[Row], None],
        *,
        partitions: int = 4,
        keys: int = 100,
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.topic = topic
        self.journal = Journal(folder)
        self._start_python = start_python
        self._add_row = add_row
        self._began = time.monotonic()
        self._losses: list[_Loss] = []
        self._workers: list[ManagedProcess] = []
        cluster.create_topic(topic, partitions)
        self._round_trip = commit_round_trip(cluster.bootstrap_servers, topic)
        self.load = Load(cluster.bootstrap_servers, topic, keys=keys)
        self.group = Group(cluster.bootstrap_servers, f"{topic}-server")
        self.commits = CommitWatch(self.group)

    def close(self) -> None:
        """End the threads."""
        self.load.close()
        self.commits.close()

    def options(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """Options for a worker; *sections* are laid over them, key by key."""
        options: dict[str, dict[str, Any]] = {
            "client": {"client_id": "hero", "brokers": self.cluster.bootstrap_servers},
            "consumer": {
                "group_id": self.topic,
                "session_timeout_ms": 6_000,
                "heartbeat_interval_ms": 500,
            },
            "subscribe": {"from_beginning": True},
            "run": {
                "workers": 16,
                "ordering": "key",
                "max_in_flight": MAX_IN_FLIGHT,
                "auto_commit_interval_ms": COMMIT_INTERVAL_MS,
            },
        }
        for name, given in sections.items():
            options[name] = {**options.get(name, {}), **given}
        return options

    def start_worker(
        self, *, wait: bool = True, options: dict[str, Any] | None = None, **settings: Any
    ) -> ManagedProcess:
        """Start a worker.

        :param wait: until it has joined the group and reads.
        :param settings: what the program takes beside these.
        """
        arguments = {
            "options": options or self.options(),
            "topic": self.topic,
            "journal": str(self.journal.folder),
            **settings,
        }
        number = len(self._workers) + 1
        worker = self._start_python(
            "-m", _PROGRAM, json.dumps(arguments), name=f"worker {number} of {self.name}"
        )
        self._workers.append(worker)
        if wait:
            worker.wait_for_line("^status connected", JOIN_SECONDS)
        return worker

    def kill_worker(self, worker: ManagedProcess) -> None:
        """Kill it with SIGKILL."""
        began = time.monotonic()
        worker.kill()
        self.add_loss(began, worker.pid)

    def add_loss(self, began: float, pid: int | None = None) -> None:
        """What was not committed at *began* may be delivered again.

        :param pid: of the worker this is about; all if not given.
        """
        self._losses.append(_Loss(pid, began, time.monotonic()))

    def drain(self, worker: ManagedProcess, timeout: float = 40.0) -> None:
        """Send SIGTERM and wait for its end in good order."""
        worker.terminate()
        code = worker.wait(timeout)
        assert code == 0, worker.report()

    def drain_all(self, worker: ManagedProcess, timeout: float = 60.0) -> None:
        """Wait until everything was handled, drain *worker*, and see that all is committed."""
        self.wait_until_handled(timeout)
        self.drain(worker)
        self.wait_until_committed()

    def wait_until_running(self, worker: ManagedProcess, count: int = 1) -> set[Position]:
        """Wait until so many handlers of *worker* run; returns their records."""
        return eventually(
            lambda: running if len(running := self.journal.running(worker.pid)) >= count else set(),
            JOIN_SECONDS,
            describe=lambda: f"{count} running handlers; {worker.report()}",
        )

    def wait_until_handled(self, timeout: float = 60.0) -> None:
        """Wait until everything that was produced was handled."""
        produced = self.load.produced
        eventually(
            lambda: (
                len(self.journal.first_finish) >= len(produced)
                and self.journal.first_finish.keys() >= produced.keys()
            ),
            timeout,
            describe=lambda: f"{len(produced)} handled, {len(self.journal.first_finish)} are",
        )

    def wait_until_handled_since(self, moment: float, partitions: int = 4) -> None:
        """Wait until of so many partitions something was started after *moment* and finished."""

        def seen() -> int:
            starts = {}
            done = set()
            for entry in self.journal.entries:
                if entry.event != FINISHED and entry.at > moment:
                    starts[entry.pid, entry.position] = entry.position.partition
                elif (entry.pid, entry.position) in starts:
                    done.add(entry.position.partition)
            return len(done)

        eventually(lambda: seen() >= partitions, 60.0, describe=f"{partitions} partitions go on")

    def wait_until_shared(self, workers: list[ManagedProcess]) -> None:
        """Wait until every worker has partitions, and none is in a rebalance."""

        def settled() -> bool:
            told = [[line for line in w.lines if ", generation " in line] for w in workers]
            last = [lines[-1] if lines else "" for lines in told]
            numbers = {line.partition(", generation ")[2].partition(":")[0] for line in last}
            return len(numbers) == 1 and all("TopicPartition" in line for line in last)

        eventually(settled, JOIN_SECONDS, describe="one generation in which each has something")

    def finished_by(self, worker: ManagedProcess, since: float) -> set[Position]:
        """What *worker* finished after a moment of the monotonic clock."""
        return {
            entry.position
            for entry in self.journal.entries
            if entry.event == FINISHED and entry.pid == worker.pid and entry.at >= since
        }

    def generations(self, worker: ManagedProcess) -> int:
        """How many times the group told *worker* what it reads."""
        return sum("generation" in line for line in worker.lines)

    def wait_until_committed(self) -> None:
        """Wait until the committed offsets say that everything is finished."""
        ends: dict[tuple[str, int], int] = {}
        for topic, partition, offset in self.load.produced:
            ends[topic, partition] = max(offset + 1, ends.get((topic, partition), 0))

        def committed() -> bool:
            found = self.group.committed()
            return all(found.get(partition) == end for partition, end in ends.items())

        eventually(
            committed,
            _COMMITTED_SECONDS,
            describe=lambda: f"{ends} committed; seen: {self.commits.seen[-1:]}",
            retry_on=GroupUnknown,
        )

    def counter(self, worker: ManagedProcess, name: str) -> int:
        """A counter that *worker* told last; it must have been started with ``count_health``."""
        told = [line for line in worker.lines if line.startswith("counters ")]
        return int(json.loads(told[-1].removeprefix("counters ")).get(name, 0)) if told else 0

    def bound(self) -> int:
        """How many duplicates the losses so far excuse."""
        window = COMMIT_INTERVAL_MS / 1000 + self._round_trip
        excused = 0
        for loss in self._losses:
            excused += MAX_IN_FLIGHT + sum(
                1
                for entry in self.journal.entries
                if entry.event == FINISHED
                and loss.began - window <= entry.at <= loss.ended
                and loss.pid in (None, entry.pid)
            )
        return excused

    def conclude(
        self, *, fact: str = "", ordered: bool = True, dead_letters: Iterable[Position] = ()
    ) -> Row:
        """Add the row, and check what holds for every scenario; call it at the end.

        :param dead_letters: what need not have been handled.
        :param ordered: whether each key must have been handled in order.
        """
        handled = {**dict.fromkeys(dead_letters, 0.0), **self.journal.first_finish}
        starts = self.journal.starts()
        row = Row(
            self.name,
            produced=len(self.load.produced),
            handled=len(handled.keys() & self.load.produced.keys()),
            lost=len(self.load.produced.keys() - handled.keys()),
            duplicated=sum(starts.values()) - len(starts),
            bound=self.bound(),
            seconds=time.monotonic() - self._began,
            fact=fact,
        )
        self._add_row(row)
        assert row.lost == 0, row
        assert row.duplicated <= row.bound, row
        assert self.commits.steps_back() == []
        assert self.commits.gaps(self.load.produced.keys(), handled) == []
        if ordered:
            assert self.journal.order_violations() == []
        return row
