"""Kills the processes that a test run started if the run itself dies.

A run that is killed, or that ends itself after a timeout, cannot reap what it started. One
watchdog process holds the ids of all of them and waits for the end of its standard input.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["forget", "watch"]


def watch(process_id: int) -> None:
    """Kill the process group of *process_id* when this process ends."""
    _tell(f"+{process_id}")


def forget(process_id: int) -> None:
    """Leave that process group alone from now on; called before its leader is reaped."""
    _tell(f"-{process_id}")


def _tell(line: str) -> None:
    os.write(_watchdog_input(os.getpid()), f"{line}\n".encode())


@lru_cache(maxsize=1)
def _watchdog_input(owner: int) -> int:
    """Start the watchdog of the process *owner* and return the pipe it reads from."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-S", __file__], stdin=reading, start_new_session=True
    )
    os.close(reading)
    # It outlives this process by design: nobody waits for it, nothing need warn about that.
    process.returncode = 0
    return writing


def _guard(lines: Iterable[str]) -> None:
    watched: set[int] = set()
    for line in lines:
        process_id = int(line[1:])
        if line.startswith("+"):
            watched.add(process_id)
        else:
            watched.discard(process_id)
    for process_id in watched:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process_id, signal.SIGKILL)


if __name__ == "__main__":
    _guard(sys.stdin)
