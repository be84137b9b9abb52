"""The parent's end of the control channel to the process of the embedded broker."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from kafka_patterns.errors import ConfigurationError, TransportError

__all__ = ["BrokerProcess"]

_READ_SIZE = 65536


class BrokerProcess:
    """A child process that answers one line of JSON with one line of JSON. Thread-safe.

    :param arguments: for ``python -m kafka_patterns.testing.broker``.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kafka_patterns.testing.broker", "--control", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C in the terminal must not take the broker away before its clients drain.
            start_new_session=True,
        )
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._received = b""

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def request(self, command: str, arguments: dict[str, Any], *, timeout: float) -> Any:
        """Send a command and return its result.

        :param timeout: seconds to wait for the answer.
        :raises ConfigurationError: if the broker refuses the command.
        :raises TransportError: if the process ended or does not answer.
        """
        line = json.dumps({"command": command, "arguments": arguments}) + "\n"
        with self._lock:
            try:
                os.write(self._pipe(self._process.stdin).fileno(), line.encode())
            except OSError as error:
                raise self._ended() from error
            return self._read_answer(timeout)

    def read_answer(self, *, timeout: float) -> Any:
        """Return the result that the process sends unasked when it is ready.

        :param timeout: seconds to wait for it.
        :raises ConfigurationError: if it could not start.
        :raises TransportError: if it ended or does not answer.
        """
        with self._lock:
            return self._read_answer(timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; does nothing if it has ended."""
        self._process.send_signal(number)

    def close(self, *, timeout: float) -> None:
        """End the process: politely, and after *timeout* seconds by force.

        Does nothing in a process forked from the one that started it.
        """
        if os.getpid() != self._owner:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            self._pipe(pipe).close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_answer(self, timeout: float) -> Any:
        answer = json.loads(self._read_line(timeout))
        if "error" in answer:
            raise ConfigurationError(answer["error"])
        return answer["result"]

    def _read_line(self, timeout: float) -> bytes:
        descriptor = self._pipe(self._process.stdout).fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([descriptor], [], [], remaining)[0]:
                raise TransportError(
                    f"the embedded broker (process {self.pid}) did not answer within "
                    f"{timeout:g} s; close it and start another"
                )
            received = os.read(descriptor, _READ_SIZE)
            if not received:
                raise self._ended()
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _ended(self) -> TransportError:
        code = self._process.wait()
        return TransportError(
            f"the embedded broker (process {self.pid}) ended by itself with exit code {code}; "
            "what it wrote to standard error says why, and its records are lost"
        )

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise AssertionError("the process was started with pipes")
        return pipe
