"""Claims and replies of idempotent handlers, in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from kafka_patterns.errors import ConfigurationError, KafkaRetriableException
from kafka_patterns.failures.idempotency import StoredReply
from kafka_patterns.synchronous import refuse_async

__all__ = ["MemoryStore"]


class MemoryStore:
    """An :class:`~kafka_patterns.IdempotencyStore` in memory: it forgets when the process ends.

    :param max_entries: replies that are kept at most; then the oldest one goes.
    :param ttl: seconds for which a reply is kept.
    :param wait: seconds to wait for another delivery that is being handled.
    :param clock: seconds, for the time to live; any that never goes back.
    """

    def __init__(
        self,
        max_entries: int = 10_000,
        *,
        ttl: float = 3600.0,
        wait: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if type(max_entries) is not int or max_entries < 1:
            raise ConfigurationError(f"max_entries must be an int from 1, not {max_entries!r}")
        if not ttl > 0 or not wait >= 0:
            raise ConfigurationError(f"ttl={ttl!r} must be above 0, and wait={wait!r} at least 0")
        self._max_entries = max_entries
        self._ttl = ttl
        self._wait = wait
        refuse_async(clock, "clock")
        self._clock = clock
        self._changed = threading.Condition()  # guards the two below; told when a claim ends
        self._running: set[str] = set()
        self._finished: OrderedDict[str, tuple[StoredReply, float]] = OrderedDict()

    def claim(self, key: str) -> _MemoryClaim | StoredReply:
        """Claim *key*, or return what is kept for it.

        :raises KafkaRetriableException: if another delivery holds the claim for longer than
            ``wait``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: key not in self._running, self._wait):
                raise KafkaRetriableException(
                    f"another delivery of {key!r} is still handled after {self._wait:g} s"
                )
            self._forget_expired()
            if key in self._finished:
                return self._finished[key][0]
            self._running.add(key)
        return _MemoryClaim(self, key)

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._finished:
            key, (_, expires) = next(iter(self._finished.items()))
            if expires > now:
                return  # they expire in the order in which they came
            del self._finished[key]

    def end(self, key: str, reply: StoredReply | None) -> None:
        """The claim of *key* ends, with a reply to keep or without."""
        with self._changed:
            self._running.discard(key)
            if reply is not None:
                self._finished[key] = (reply, self._clock() + self._ttl)
                if len(self._finished) > self._max_entries:
                    self._finished.popitem(last=False)
            self._changed.notify_all()

    def __len__(self) -> int:
        """How many replies are kept."""
        with self._changed:
            return len(self._finished)


class _MemoryClaim:
    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store = store
        self._key = key

    def complete(self, text: str) -> None:
        self._store.end(self._key, StoredReply(text))

    def release(self) -> None:
        self._store.end(self._key, None)
