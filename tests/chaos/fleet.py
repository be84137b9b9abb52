"""The processes under test, by name: started, struck, and watched."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.history import Died, Usage
from tests.support.processes import ManagedProcess, python_process

__all__ = ["Fleet", "Member"]

_SAMPLE_SECONDS = 1.0
_STOP_SECONDS = 60.0


class Member:
    """A server or a client; one process at a time.

    :param arguments: makes what the program is given, anew at each start.
    :param folder: for what the processes wrote.
    """

    def __init__(
        self, name: str, program: str, arguments: Callable[[], dict[str, Any]], folder: Path
    ) -> None:
        self.name = name
        self.deaths: list[Died] = []
        self._program = f"tests.chaos.programs.{program}"
        self._arguments = arguments
        self._folder = folder
        self._process: ManagedProcess | None = None
        self._began = 0.0
        # Guards the process and its death: the nemesis ends it while the fleet looks.
        self._lock = threading.Lock()

    @property
    def process(self) -> ManagedProcess:
        """The process that runs now."""
        if self._process is None:
            raise AssertionError(f"{self.name} does not run")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Start its process; if one runs, nothing happens."""
        with self._lock:
            if self._process is None:
                self._run()

    def kill(self) -> None:
        """End its process with SIGKILL."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._bury(meant=True)

    def stop(self) -> None:
        """End its process with SIGTERM, and wait for it."""
        with self._lock:
            process = self._process
            if process is None:
                return
            process.terminate()
            try:
                code = process.wait(_STOP_SECONDS)
            except AssertionError:
                # It does not end: that is noted as an end of its own.
                process.kill()
                code = -1
            self._bury(meant=code == 0)

    def look(self) -> Usage | None:
        """What its process needs now; one that has ended by itself is started again."""
        if not self._lock.acquire(blocking=False):
            return None  # the nemesis is at it
        try:
            if self._process is None:
                return None
            if not self._process.is_running:
                self._bury(meant=False)
                self._run()
                return None
            return _usage(self._process.pid)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Kill its process, if there is one."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._bury(meant=True)

    def _run(self) -> None:
        given = json.dumps({"name": self.name, **self._arguments()})
        self._began = time.monotonic()
        self._process = python_process("-m", self._program, given, name=self.name)

    def _bury(self, *, meant: bool) -> None:
        process, self._process = self._process, None
        assert process is not None
        code = process.wait()
        self.deaths.append(Died(process.pid, self.name, code, time.monotonic(), meant, self._began))
        log = self._folder / f"{self.name}-{process.pid}.log"
        log.write_text(process.output, encoding="utf-8")
        process.close()


class Fleet:
    """All members, and a thread that looks after them."""

    def __init__(self, members: list[Member]) -> None:
        self.members = {member.name: member for member in members}
        self.usages: list[Usage] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fleet watch")

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def start(self) -> None:
        """Start all, and the thread."""
        for member in self.members.values():
            member.start()
        self._thread.start()

    def wait_until_connected(self, timeout: float) -> None:
        """Wait until every member has said so, for the first time."""
        for member in self.members.values():
            member.process.wait_for_line("status connected", timeout)

    def stop(self, role: str) -> None:
        """End those whose name begins with *role* in good order."""
        for name, member in self.members.items():
            if name.startswith(role):
                member.stop()

    @property
    def deaths(self) -> list[Died]:
        """Of all members."""
        return [died for member in self.members.values() for died in member.deaths]

    def close(self) -> None:
        """End the thread and what runs."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        for member in self.members.values():
            member.close()

    def _watch(self) -> None:
        while not self._stopping.wait(_SAMPLE_SECONDS):
            for member in self.members.values():
                usage = member.look()
                if usage is not None:
                    self.usages.append(usage)


def _usage(pid: int) -> Usage | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return None
    return Usage(pid, pages * os.sysconf("SC_PAGE_SIZE"), threads, time.monotonic())
