"""Offsets that the thread that reads must not wait for: a leader may be away."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from kafka_patterns.errors import TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.base import Admin, Interrupted

__all__ = ["Lookups"]

logger = logging.getLogger("kafka_patterns.fetcher")

_LOOKUP_SECONDS = 2.0

Found = Callable[[Mapping[TopicPartition, int]], object]
"""Given the offsets, without those that were not found."""


class Lookups:
    """Asks an admin in a thread of its own, which exists while there is something to ask.

    :param submit: takes a function from any thread and runs it in the asker's.
    :param name: the name of the thread.
    """

    def __init__(
        self, admin: Admin, submit: Callable[[Callable[[], object]], None], name: str
    ) -> None:
        self._admin = admin
        self._submit = submit
        self._name = name
        self._lock = threading.Lock()  # guards everything below
        self._questions: deque[tuple[Mapping[TopicPartition, int], Found]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, timestamps: Mapping[TopicPartition, int], found: Found) -> None:
        """Look up the offset for each timestamp; *found* is submitted with what there is."""
        with self._lock:
            if self._closed:
                return
            self._questions.append((timestamps, found))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def close(self, timeout: float) -> bool:
        """Ask no more; ``False`` if a question is still under way after *timeout*."""
        with self._lock:
            self._closed = True
            self._questions.clear()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._questions:
                    self._thread = None
                    return
                timestamps, found = self._questions.popleft()
            self._submit(partial(found, self._look_up(timestamps)))

    def _look_up(self, timestamps: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        try:
            return self._admin.offsets(timestamps, _LOOKUP_SECONDS)
        except Interrupted:
            return {}
        except TransportError as error:
            logger.info("looking up offsets failed: %s", error)
        except Exception:
            logger.warning("looking up offsets failed", exc_info=True)
        return {}
