"""Node processes under test control: a NestJS server and a NestJS client."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from tests.support import watchdog

if TYPE_CHECKING:
    from typing_extensions import Self

PEER_DIRECTORY = Path(__file__).parent / "peer"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0

Line = dict[str, Any]
Found = TypeVar("Found")


def require_node() -> str:
    """Return the path of ``node``; fail the test run if the peers cannot be started."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the NestJS tests need Node.js 20 or newer: no `node` on the PATH")
    if not (PEER_DIRECTORY / "node_modules" / "@nestjs" / "microservices").is_dir():
        pytest.fail("the NestJS peers are not installed: run `npm ci` in tests/nest/peer")
    return node


def revive_buffer(document: Line) -> Any:
    """Read what ``JSON.stringify`` makes of a Node Buffer as bytes."""
    if document.get("type") == "Buffer" and isinstance(document.get("data"), list):
        return bytes(document["data"])
    return document


def write_buffer(value: Any) -> Any:
    """Write bytes as ``JSON.stringify`` writes a Node Buffer."""
    if isinstance(value, bytes):
        return {"type": "Buffer", "data": list(value)}
    raise TypeError(f"cannot tell a peer {type(value).__name__}")


class NestPeer:
    """A node process that speaks one JSON document per line.

    A thread of its own reads stdout into :attr:`lines`; stderr goes into a file that is
    quoted whenever the peer does not do what it should.
    """

    script: str

    def __init__(self, *arguments: str) -> None:
        node = require_node()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._ended = False
        self.lines: list[Line] = []
        self._process = subprocess.Popen(
            [node, str(PEER_DIRECTORY / self.script), *arguments],
            cwd=PEER_DIRECTORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        watchdog.watch(self._process.pid)
        self._reader = threading.Thread(
            target=self._read_lines, name=f"nest-peer-{self._process.pid}", daemon=True
        )
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self.ready = self.wait_for(lambda line: line if "ready" in line else None)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                self.lines.append(json.loads(text, object_hook=revive_buffer))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(
        self, find: Callable[[Line], Found | None], timeout: float = START_TIMEOUT, start: int = 0
    ) -> Found:
        """Return the first non-``None`` result of *find* over the lines from *start* on."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines[start:]:
                    found = find(line)
                    if found is not None:
                        return found
                start = len(self.lines)
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    what = "ended" if self._ended else f"said nothing of it for {timeout} s"
                    raise AssertionError(f"{self.script} {what}; {self.report()}")
                self._changed.wait(remaining)

    def write(self, document: Mapping[str, Any]) -> None:
        """Hand the peer one line."""
        assert self._process.stdin is not None
        text = json.dumps(document, default=write_buffer)
        with self._writing:
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()

    def report(self) -> str:
        """The last lines and errors of the peer, for a failed test."""
        self._errors.seek(0)
        errors = self._errors.read().decode("utf-8", "replace")
        code = self._process.poll()
        return f"exit code {code}, lines {self.lines[-5:]}, stderr:\n{errors[-4000:]}"

    def close(self) -> None:
        """End the process, by force if it does not follow, and the reading thread."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        watchdog.forget(self._process.pid)
        self._reader.join(STOP_TIMEOUT)
        self._process.stdout.close()
        self._errors.close()


class NestServer(NestPeer):
    """A NestJS microservice with the handlers of ``peer/rows.mjs`` under *prefix*.

    :param rows: the names of the handlers to register; all of them if not given.
    """

    script = "server.mjs"

    def __init__(
        self, brokers: Sequence[str], group_id: str, prefix: str, rows: Sequence[str] | None = None
    ) -> None:
        chosen = [] if rows is None else [",".join(rows)]
        super().__init__(",".join(brokers), group_id, prefix, *chosen)
        self.prefix = prefix

    def wait_for_event(self, row: str, payload: Any, timeout: float = START_TIMEOUT) -> Line:
        """Return what an event handler of *row* was given, once it was given *payload*."""

        def is_wanted(line: Line) -> Line | None:
            return line if line.get("event") == row and line["payload"] == payload else None

        return self.wait_for(is_wanted, timeout)

    def events(self, row: str, payload: Any) -> list[Line]:
        """Every delivery of *payload* to the event handlers of *row* so far."""
        return [
            line for line in self.lines if line.get("event") == row and line["payload"] == payload
        ]


class NestOutcome(NamedTuple):
    """How an observable of ``ClientKafka.send`` ended."""

    values: list[Any]
    error: Any = None
    completed: bool = False
    timed_out: bool = False


class Join(NamedTuple):
    """One completed rebalance as a NestJS client saw it."""

    is_leader: bool
    partitions: dict[str, list[int]]


def as_join(line: Line) -> Join | None:
    """Read a line that announces a join."""
    joined = line.get("joined")
    return Join(joined["isLeader"], joined["memberAssignment"]) if joined else None


class NestClient(NestPeer):
    """A NestJS ``ClientKafka``; every method may be called from several threads."""

    script = "client.mjs"

    def __init__(self, brokers: Sequence[str], group_id: str) -> None:
        super().__init__(",".join(brokers), group_id)
        self._ids = itertools.count(1)

    def _call(
        self, operation: str, answer_timeout: float = START_TIMEOUT, **parameters: Any
    ) -> Line:
        call_id = next(self._ids)
        start = len(self.lines)
        self.write({"id": call_id, "op": operation, **parameters})

        def is_answer(line: Line) -> Line | None:
            return line if line.get("id") == call_id else None

        answer = self.wait_for(is_answer, answer_timeout, start)
        if "failure" in answer:
            raise AssertionError(f"{operation} failed: {answer['failure']}; {self.report()}")
        return answer

    def connect(self, patterns: Sequence[str]) -> dict[str, int]:
        """Subscribe to the replies of *patterns*, connect, return the reply partitions."""
        answer = self._call("connect", subscribeToResponseOf=list(patterns))
        return dict(answer["assignments"])

    def send(self, pattern: str, data: Any, timeout: float = 10.0) -> NestOutcome:
        """Send a request; wait until its observable ended, at most *timeout* seconds."""
        answer = self._call(
            "send", timeout + START_TIMEOUT, pattern=pattern, data=data, timeout=timeout * 1000
        )
        return NestOutcome(
            answer["values"],
            answer.get("error"),
            answer["completed"],
            answer.get("timedOut", False),
        )

    def emit(self, pattern: str, data: Any) -> list[Line]:
        """Send an event; return kafkajs's record metadata."""
        return list(self._call("emit", pattern=pattern, data=data)["records"])

    def emit_batch(self, pattern: str, messages: Sequence[Any]) -> list[Line]:
        """Send several events at once; return kafkajs's record metadata."""
        return list(self._call("emitBatch", pattern=pattern, messages=list(messages))["records"])

    def assignments(self) -> dict[str, int]:
        """Nest's ``getConsumerAssignments()``: reply topic to reply partition."""
        return dict(self._call("assignments")["assignments"])

    def joins(self) -> list[Join]:
        """Every join of the client group so far, oldest first."""
        return [join for line in self.lines if (join := as_join(line)) is not None]

    def wait_for_join(self, wanted: Callable[[Join], bool], timeout: float = START_TIMEOUT) -> Join:
        """Return the first join that *wanted* accepts."""

        def is_wanted(line: Line) -> Join | None:
            join = as_join(line)
            return join if join is not None and wanted(join) else None

        return self.wait_for(is_wanted, timeout)
