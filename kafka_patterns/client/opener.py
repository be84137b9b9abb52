"""A thread that opens reply partitions later, whose leaders are away now."""

from __future__ import annotations

import logging
import threading

from kafka_patterns.client.reply_partitions import ReplyPartitions
from kafka_patterns.errors import TransportError

__all__ = ["Opener"]

logger = logging.getLogger("kafka_patterns.client")

_RETRY_SECONDS = 0.5


class Opener:
    """Asks for the ends of partitions until each is read; then its thread ends.

    :param closing: set when nothing is to be opened any more.
    :param name: the name of the thread.
    """

    def __init__(self, partitions: ReplyPartitions, closing: threading.Event, name: str) -> None:
        self._partitions = partitions
        self._closing = closing
        self._name = name
        self._lock = threading.Lock()  # guards the one below
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From any thread: open what is not opened yet, unless that is under way."""
        with self._lock:
            if self._thread is not None or self._closing.is_set():
                return
            logger.warning(
                "the leaders of some reply partitions do not answer: %s",
                ", ".join(map(str, self._partitions.unopened)),
            )
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the thread, once the closing began."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while not self._closing.wait(_RETRY_SECONDS):
            with self._lock:
                if not self._partitions.unopened:
                    self._thread = None
                    return
            try:
                self._partitions.open_wanted()
            except TransportError as error:
                logger.info("looking up the ends of reply partitions failed: %s", error)
