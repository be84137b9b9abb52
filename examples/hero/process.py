"""A part of the demo that runs as a process, its output shown line by line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from types import TracebackType

__all__ = ["DemoProcess"]

_STOP_SECONDS = 10.0
_COLOURS = {"server": "36", "client": "33"}


class DemoProcess:
    """A Python module that runs as a process; leaving the ``with`` block stops it.

    :param name: stands in front of each of its lines.
    :param module: what runs, as ``python -m`` takes it.
    :param arguments: what it is given on the command line.
    """

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self.name = name
        self._label = _coloured(f"{name} |", _COLOURS.get(name))
        self._news = threading.Condition()  # guards the two below
        self._lines: list[list[str]] = []
        self._silent = False
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for the demo, which then stops its parts in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            self._show_lines()
        except BrokenPipeError:
            # Nobody looks any more, so there is nothing to go on for.
            self._process.terminate()
        with self._news:
            self._silent = True
            self._news.notify_all()

    def _show_lines(self) -> None:
        assert self._process.stdout is not None
        self._show(f"process {self._process.pid}\n")
        for line in self._process.stdout:
            self._show(line)
            with self._news:
                self._lines.append(line.split())
                self._news.notify_all()

    def _show(self, line: str) -> None:
        sys.stdout.write(f"{self._label} {line}")
        sys.stdout.flush()

    def wait_for_line(self, *words: str, timeout: float) -> bool:
        """Wait for a line of these words; ``False`` if it ends, or the seconds pass, first."""
        wanted = list(words)
        with self._news:
            self._news.wait_for(lambda: wanted in self._lines or self._silent, timeout)
            return wanted in self._lines

    def wait(self, timeout: float) -> int | None:
        """The exit code, once all it wrote is shown; ``None`` if it runs for longer."""
        deadline = time.monotonic() + timeout
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(max(0.0, deadline - time.monotonic()))
        return code

    def stop(self) -> int | None:
        """Ask it to end as a supervisor does, with SIGTERM; the exit code, or ``None``."""
        self._process.terminate()
        return self.wait(_STOP_SECONDS)

    def __enter__(self) -> DemoProcess:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.stop() is None:
            self._process.kill()
            self.wait(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _coloured(text: str, colour: str | None) -> str:
    if colour is None or "NO_COLOR" in os.environ or not sys.stdout.isatty():
        return text
    return f"\033[{colour}m{text}\033[0m"
