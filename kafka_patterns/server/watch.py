"""An eye on running handlers: which one is the oldest, and which runs for too long."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback

import attrs

from kafka_patterns.server.work import WorkItem

__all__ = ["RunningHandler", "Watch"]

logger = logging.getLogger("kafka_patterns.watch")


@attrs.frozen
class RunningHandler:
    """A message that a handler works on.

    :param seconds: for how long.
    """

    topic: str
    partition: int
    offset: int
    seconds: float


@attrs.define(eq=False)
class _Run:
    item: WorkItem
    started: float
    thread_id: int
    warned: bool = False


class Watch:
    """Knows what runs, in which thread, since when.

    :param warn_after: seconds after which a handler's stack is logged, once.
    """

    def __init__(self, warn_after: float) -> None:
        self._warn_after = warn_after
        self._runs: dict[WorkItem, _Run] = {}  # single operations on it are atomic

    def begin(self, item: WorkItem) -> None:
        """In the worker: a handler is about to run."""
        self._runs[item] = _Run(item, time.monotonic(), threading.get_ident())

    def end(self, item: WorkItem) -> None:
        """It ran."""
        self._runs.pop(item, None)

    def oldest(self) -> RunningHandler | None:
        """The handler that has run longest."""
        runs = list(self._runs.values())
        if not runs:
            return None
        oldest = min(runs, key=lambda run: run.started)
        record = oldest.item.record
        seconds = time.monotonic() - oldest.started
        return RunningHandler(record.topic, record.partition, record.offset, seconds)

    def warn(self) -> None:
        """Log the stack of each handler that runs for too long and was not named before."""
        before = time.monotonic() - self._warn_after
        for run in list(self._runs.values()):
            if run.started < before and not run.warned:
                run.warned = True
                record = run.item.record
                frame = sys._current_frames().get(run.thread_id)  # noqa: SLF001  meant for this
                stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown"
                logger.warning(
                    "a handler for %s[%d] offset %d runs for more than %g s; it is here:\n%s",
                    record.topic,
                    record.partition,
                    record.offset,
                    self._warn_after,
                    stack,
                )
