"""Child processes that never outlive a test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support import watchdog
from tests.support.waiting import eventually

__all__ = ["REPOSITORY", "EndedEarlyError", "ManagedProcess", "python_process"]

REPOSITORY = Path(__file__).resolve().parents[2]

_SHOWN_LINES = 60
_WAIT_TIMEOUT = 60.0


class ManagedProcess:
    """A process that runs in a group of its own and writes into a file.

    Standard output and standard error go to the same file, so that the process never blocks
    on a full pipe and what it wrote is there for the report of a failed test.

    :param command: the program and its arguments.
    :param name: for messages.
    :param directory: where it runs; default: the root of the repository.
    :param environment: variables added to those of this process.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        directory: Path = REPOSITORY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._last_output = ""
        self._output = tempfile.NamedTemporaryFile(  # noqa: SIM115 - close() closes it
            prefix="kafka-patterns-", suffix=".log"
        )
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        watchdog.watch(self.pid)

    @property
    def pid(self) -> int:
        """The id of the process, which is also the id of its group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """All it wrote so far; still there after :meth:`close`."""
        if self._output.closed:
            return self._last_output
        return Path(self._output.name).read_text(encoding="utf-8", errors="replace")

    @property
    def lines(self) -> list[str]:
        """The whole lines it wrote so far, without their ends."""
        *whole, _unfinished = self.output.split("\n")
        return whole

    def wait_for_line(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Return the first match of *pattern* in a whole line, which may be an earlier one.

        :param pattern: a regular expression, searched for anywhere in a line.
        :param timeout: seconds to wait for it.
        :raises AssertionError: if the line does not come, or the process ends without it.
        """

        def search() -> re.Match[str] | None:
            # Asked before the output is read: what an ended process wrote is complete then.
            running = self.is_running
            for line in self.lines:
                if found := re.search(pattern, line):
                    return found
            if not running:
                raise EndedEarlyError(self._report(f"ended without writing {pattern!r}"))
            return None

        found = eventually(
            search,
            timeout,
            describe=lambda: self._report(f"a line like {pattern!r}"),
        )
        if found is None:
            raise AssertionError("eventually() returns only what is true")
        return found

    def wait(self, timeout: float = _WAIT_TIMEOUT) -> int:
        """Return the exit code, negative for a signal, when the process has ended.

        :raises AssertionError: if it is still running after *timeout* seconds.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._report(f"still runs after {timeout:g} s")) from None

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Send SIGTERM, as a supervisor does."""
        self._process.terminate()

    def pause(self) -> None:
        """Send SIGSTOP: the process hangs with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process and everything in its group with SIGKILL, and reap it."""
        self._kill_group()
        self.wait()

    def close(self) -> None:
        """Kill it if it still runs, reap it, and delete its output. Safe to call twice."""
        if not self._output.closed:
            self._kill_group()
            self._process.wait()
            watchdog.forget(self.pid)
            self._last_output = self.output
            self._output.close()

    def report(self) -> str:
        """The end of what it wrote, under a heading, for the report of a failed test."""
        return self._report("wrote")

    def __enter__(self) -> ManagedProcess:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _kill_group(self) -> None:
        # The leader may have ended long ago and left children of its own behind.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()

    def _report(self, what: str) -> str:
        shown = "\n".join(f"    {line}" for line in self.output.splitlines()[-_SHOWN_LINES:])
        return f"process {self.name} ({self.pid}): {what}; its last lines:\n{shown}\n"


class EndedEarlyError(Exception):
    """A process ended before it wrote what was waited for."""


def python_process(
    *arguments: str | Path,
    name: str = "python",
    environment: Mapping[str, str] | None = None,
) -> ManagedProcess:
    """Run this interpreter in the root of the repository: ``python_process("-m", "app")``."""
    return ManagedProcess([sys.executable, "-u", *arguments], name=name, environment=environment)
