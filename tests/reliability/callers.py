"""One scenario of clients: a pattern, its servers, instances that ask, and the account of it."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.reliability.table import CallerRow
from tests.reliability.tally import Tally
from tests.support.kafka_server import KafkaCluster
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

__all__ = ["JOIN_SECONDS", "Callers"]

JOIN_SECONDS = 60.0
"""In which an instance has started and joined, also while a dead member is still in the group."""

_LEAVE_SECONDS = 60.0
_MORE_SECONDS = 60.0
_TIMEOUT = 20.0


class Callers:
    """Runs one scenario and adds its row to the table.

    :param name: the first column.
    :param pattern: created here, with its reply topic.
    :param reply_partitions: at least as many as there are instances in group mode.
    """

    def __init__(
        self,
        name: str,
        cluster: KafkaCluster,
        pattern: str,
        start_python: Callable[..., ManagedProcess],
        add_row: Callable[[CallerRow], None],
        *,
        reply_partitions: int = 6,
        partitions: int = 4,
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.pattern = pattern
        self.reply_topic = f"{pattern}.reply"
        self.reply_partitions = reply_partitions
        self.total = Tally()
        self._start_python = start_python
        self._add_row = add_row
        self._numbers = itertools.count(1)
        self._began = time.monotonic()
        cluster.create_topic(pattern, partitions)
        cluster.create_topic(self.reply_topic, reply_partitions)

    def options(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """Options for a client or server; *sections* are laid over them, key by key."""
        options: dict[str, dict[str, Any]] = {
            "client": {"client_id": "hero", "brokers": self.cluster.bootstrap_servers},
            "consumer": {
                "group_id": self.pattern,
                "session_timeout_ms": 6_000,
                "heartbeat_interval_ms": 500,
            },
        }
        for name, given in sections.items():
            options[name] = {**options.get(name, {}), **given}
        return options

    def start_server(self) -> ManagedProcess:
        """Start a server; returns when it reads."""
        options = self.options(run={"workers": 64}, subscribe={"from_beginning": True})
        arguments = {"options": options, "pattern": self.pattern}
        server = self._start("answer", f"server of {self.name}", arguments)
        server.wait_for_line("^status connected", JOIN_SECONDS)
        return server

    def start_client(
        self,
        *,
        threads: int = 10,
        wait: bool = True,
        timeout: float = _TIMEOUT,
        longest_ms: int = 50,
        pause: float = 0.05,
        **sections: dict[str, Any],
    ) -> ManagedProcess:
        """Start an instance that asks without an end.

        :param wait: until it has connected.
        :param sections: of its options, laid over those of :meth:`options`.
        """
        name = f"instance-{next(self._numbers)}"
        arguments = {
            "name": name,
            "options": self.options(**sections),
            "pattern": self.pattern,
            "threads": threads,
            "timeout": timeout,
            "longest_ms": longest_ms,
            "pause": pause,
        }
        client = self._start("ask", name, arguments)
        if wait:
            client.wait_for_line("^asking$", JOIN_SECONDS)
        return client

    def _start(self, program: str, name: str, arguments: dict[str, Any]) -> ManagedProcess:
        module = f"tests.reliability.programs.{program}"
        return self._start_python("-m", module, json.dumps(arguments), name=name)

    def wait_for_replies(self, client: ManagedProcess, threads: int = 1) -> None:
        """Wait until so many threads of *client* got more replies than by now."""
        told = Counter(_who(line) for line in client.lines if line.startswith("replied "))

        def more() -> bool:
            now = Counter(_who(line) for line in client.lines if line.startswith("replied "))
            return sum(now[name] > told[name] for name in now) >= threads

        eventually(more, _MORE_SECONDS, describe=client.report)

    def leave(self, client: ManagedProcess) -> Tally:
        """Let *client* end in good order; returns what came of its requests."""
        client.terminate()
        told = client.wait_for_line("^tally (.*)$", _LEAVE_SECONDS)[1]
        assert client.wait() == 0, client.report()
        tally = Tally.from_json(json.loads(told))
        self.total.add(tally)
        return tally

    def conclude(self, *, fact: str = "", may_fail: bool = False) -> CallerRow:
        """Add the row, and check what holds for every scenario; call it at the end.

        :param may_fail: whether requests may end with errors of the library.
        """
        total = self.total
        row = CallerRow(
            self.name,
            sent=total.sent,
            replied=total.replied,
            timed_out=total.timed_out,
            refused=total.refused.total(),
            broken=len(total.broken),
            p99_ms=percentile_99(total.seconds) * 1000,
            seconds=time.monotonic() - self._began,
            fact=fact,
        )
        self._add_row(row)
        assert total.broken == [], row
        assert total.replied > 0, row
        if not may_fail:
            assert total.replied == total.sent, (row, total.examples)
        return row


def _who(line: str) -> str:
    return line.rpartition(" ")[2]


def percentile_99(seconds: list[float]) -> float:
    """The time that one in a hundred exceeds."""
    return statistics.quantiles(seconds, n=100)[-1] if len(seconds) > 1 else sum(seconds)
