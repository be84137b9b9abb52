"""What workers note about records: one line each, written at once, so that no kill tears it."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from kafka_patterns import KafkaContext

__all__ = ["Entry", "Journal", "JournalWriter", "Position"]

STARTED = "started"
FINISHED = "finished"
FAILED = "failed"


class Position(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class Entry(NamedTuple):
    """A handler started, finished or failed.

    :param attempt: 1 for the first delivery to a process.
    :param at: seconds of the monotonic clock, which all processes of a machine share.
    """

    event: str
    position: Position
    key: str
    sequence: int
    attempt: int
    pid: int
    at: float


class JournalWriter:
    """Writes the journal of this process.

    :param folder: where the journals of all workers of one scenario lie.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}.journal"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def started(self, context: KafkaContext, sequence: int) -> None:
        """A handler begins to work on the message."""
        self._write(STARTED, context, sequence)

    def finished(self, context: KafkaContext, sequence: int) -> None:
        """It is through."""
        self._write(FINISHED, context, sequence)

    def failed(self, context: KafkaContext, sequence: int) -> None:
        """It raises, and will be called again."""
        self._write(FAILED, context, sequence)

    def _write(self, event: str, context: KafkaContext, sequence: int) -> None:
        offset = context.message.offset
        line = [event, context.topic, context.partition, offset, str(context.message.key)]
        line += [sequence, context.attempt, os.getpid(), time.monotonic()]
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Journal:
    """Reads the journals of all workers of one scenario, also while they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read_up_to: defaultdict[Path, int] = defaultdict(int)
        self._entries: list[Entry] = []
        self._first_finish: dict[Position, float] = {}

    @property
    def entries(self) -> list[Entry]:
        """All entries so far; in order within each process."""
        self._read_on()
        return self._entries

    @property
    def first_finish(self) -> dict[Position, float]:
        """What was finished, and when for the first time."""
        self._read_on()
        return self._first_finish

    @property
    def pids(self) -> set[int]:
        """The workers that wrote something."""
        return {entry.pid for entry in self.entries}

    def running(self, pid: int) -> set[Position]:
        """What the process started and has not finished."""
        running: set[Position] = set()
        for entry in self.entries:
            if entry.pid == pid and entry.event == STARTED:
                running.add(entry.position)
            elif entry.pid == pid:
                running.discard(entry.position)
        return running

    def count(self, event: str, pid: int | None = None, since: float = 0.0) -> int:
        """How many entries of a kind there are, of one process or of all."""
        return sum(
            1
            for entry in self.entries
            if entry.event == event and entry.at >= since and pid in (None, entry.pid)
        )

    def starts(self, pid: int | None = None) -> dict[Position, int]:
        """How often each record was delivered; tries in one process count once."""
        starts: defaultdict[Position, int] = defaultdict(int)
        for entry in self.entries:
            if entry.event == STARTED and entry.attempt == 1 and pid in (None, entry.pid):
                starts[entry.position] += 1
        return starts

    def order_violations(self) -> list[str]:
        """Records that started before everything ahead of them in their key was finished."""
        finished: defaultdict[str, set[int]] = defaultdict(set)
        violations = []
        for entry in sorted(self.entries, key=lambda entry: entry.at):
            if entry.event == FINISHED:
                finished[entry.key].add(entry.sequence)
            elif entry.sequence > 0 and entry.sequence - 1 not in finished[entry.key]:
                violations.append(f"{entry.key}: {entry.sequence} before {entry.sequence - 1}")
        return violations

    def completion_order_violations(self) -> list[str]:
        """Records finished for the first time after a later one of their key was."""
        latest: defaultdict[str, int] = defaultdict(lambda: -1)
        seen: set[Position] = set()
        violations = []
        for entry in sorted(self.entries, key=lambda entry: entry.at):
            if entry.event != FINISHED or entry.position in seen:
                continue
            seen.add(entry.position)
            if entry.sequence < latest[entry.key]:
                violations.append(f"{entry.key}: {entry.sequence} after {latest[entry.key]}")
            latest[entry.key] = entry.sequence
        return violations

    def _read_on(self) -> None:
        for path in self.folder.glob("*.journal"):
            with path.open("rb") as file:
                file.seek(self._read_up_to[path])
                whole, _, _ = file.read().rpartition(b"\n")
            if not whole:
                continue
            self._read_up_to[path] += len(whole) + 1
            for line in whole.split(b"\n"):
                event, topic, partition, offset, *rest = json.loads(line)
                entry = Entry(event, Position(topic, partition, offset), *rest)
                self._entries.append(entry)
                if event == FINISHED:
                    before = self._first_finish.get(entry.position, entry.at)
                    self._first_finish[entry.position] = min(before, entry.at)
