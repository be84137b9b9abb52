"""Steady requests in the background, each checked to get its own answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final

from tests.nest.wire import REPLY_PARTITION

PATIENCE = 60.0

Ask = Callable[[str], "dict[str, Any]"]
"""Sends a text to an echo handler; returns what the handler saw."""


@final
class Load:
    """Sends one request after the other in a thread of its own, until the block ends.

    ``answered`` counts the replies, ``partitions`` holds every reply partition that a request
    named.
    """

    def __init__(self, name: str, ask: Ask) -> None:
        self._ask = ask
        self._name = name
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self.answered = 0
        self.partitions: set[str] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"load-{name}")
        self._sending = self._executor.submit(self._run)

    @property
    def failure(self) -> BaseException | None:
        """The first request that was lost or got another one's reply; ``None`` if none did."""
        return self._sending.exception(PATIENCE) if self._stopped.is_set() else None

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._executor.shutdown()

    def _run(self) -> None:
        try:
            for number in itertools.count():
                if self._stopped.is_set():
                    return
                self._send(f"{self._name}-{number}")
        finally:
            with self._changed:
                self._stopped.set()
                self._changed.notify_all()

    def _send(self, payload: str) -> None:
        reply = self._ask(payload)
        assert reply["payload"] == payload, f"{payload} got the reply to {reply['payload']}"
        with self._changed:
            self.answered += 1
            self.partitions.add(reply["headers"][REPLY_PARTITION])
            self._changed.notify_all()

    def wait_for_more(self, count: int) -> None:
        """Wait until *count* more requests were answered."""
        with self._changed:
            goal = self.answered + count
            self._changed.wait_for(
                lambda: self.answered >= goal or self._stopped.is_set(), PATIENCE
            )
            assert self.failure is None, f"load {self._name} failed: {self.failure!r}"
            assert self.answered >= goal, f"load {self._name} stands at {self.answered}"
