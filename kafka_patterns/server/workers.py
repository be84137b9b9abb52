"""The threads that run handlers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from kafka_patterns.server.lanes import Lanes

__all__ = ["WorkerPool"]

logger = logging.getLogger("kafka_patterns.workers")

Item = TypeVar("Item", bound=Hashable)


class WorkerPool(Generic[Item]):
    """A fixed number of threads that take items from lanes and work on them.

    :param work: works on one item and reports to the lanes itself; should not raise.
    :param name: the common part of the threads' names.
    """

    def __init__(
        self, count: int, lanes: Lanes[Item], work: Callable[[Item], None], name: str
    ) -> None:
        self._lanes = lanes
        self._work = work
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{index}", daemon=True)
            for index in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    @property
    def runs_here(self) -> bool:
        """Whether the calling thread is one of them."""
        return threading.current_thread() in self._threads

    def join(self, timeout: float) -> list[str]:
        """Wait for the threads to end, *timeout* seconds in all; returns who did not."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _run(self) -> None:
        while True:
            item = self._lanes.take()
            if item is None:
                return
            try:
                self._work(item)
            except BaseException:
                logger.exception("a worker failed outside of any handler")
