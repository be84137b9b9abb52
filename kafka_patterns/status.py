"""The status of a client or server, to be asked, awaited, iterated or listened to.

The five values are those of NestJS's ``KafkaStatus``. Here ``connected`` means usable: for a
client, that requests can be sent and their replies be read; for a server, that it is in its
group and reads what it was assigned.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = ["KafkaStatus", "StatusStream", "Subscription"]

Submit = Callable[[Callable[[], object]], None]


class KafkaStatus(str, enum.Enum):
    """What a client or server is doing."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    REBALANCING = "rebalancing"
    CRASHED = "crashed"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


class Subscription:
    """A callback's place in the stream; ``unsubscribe`` gives it up. Also a context manager."""

    def __init__(self, stream: StatusStream, callback: Callable[[KafkaStatus], object]) -> None:
        self._stream = stream
        self.callback = callback

    def unsubscribe(self) -> None:
        """No call starts after this returned, except one that is running."""
        self._stream.drop(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.unsubscribe()


class StatusStream:
    """The changes of one status; the same value twice in a row is told once.

    :param submit: runs a callback on the owner's callback thread.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._subscriptions: list[Subscription] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        """For the owner, after a fork: there is no status yet; the subscriptions stay."""
        self._condition = threading.Condition()  # guards the two below, and the subscriptions
        self._current: KafkaStatus | None = None
        self._iterators: list[deque[KafkaStatus]] = []

    @property
    def current(self) -> KafkaStatus | None:
        """The latest value; ``None`` before the first ``connect`` or ``start``."""
        return self._current

    def subscribe(self, callback: Callable[[KafkaStatus], object]) -> Subscription:
        """Call *callback* on the callback thread with the latest value, and at each change.

        :raises ConfigurationError: if it is asynchronous.
        """
        refuse_async(callback, "status callback")
        subscription = Subscription(self, callback)
        with self._condition:
            self._subscriptions.append(subscription)
            if self._current is not None:
                self._call(subscription, self._current)
        return subscription

    def wait_for(self, status: KafkaStatus | str, timeout: float | None = None) -> bool:
        """Wait until the status is *status*; ``False`` if *timeout* seconds passed first.

        A status that came and went while this waited counts.
        """
        wanted = KafkaStatus(status)
        for value in self.changes(timeout):
            if value is wanted:
                return True
        return False

    def __iter__(self) -> Iterator[KafkaStatus]:
        """Yield the latest value and each change; ends after ``stopped``."""
        for value in self.changes():
            yield value
            if value is KafkaStatus.STOPPED:
                return

    def changes(self, timeout: float | None = None) -> Iterator[KafkaStatus]:
        """Yield the latest value and each change, until *timeout* seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: deque[KafkaStatus] = deque()
        with self._condition:
            if self._current is not None:
                seen.append(self._current)
            self._iterators.append(seen)
        try:
            while True:
                with self._condition:
                    while not seen:
                        left = None if deadline is None else deadline - time.monotonic()
                        if left is not None and left <= 0:
                            return
                        self._condition.wait(left)
                    value = seen.popleft()
                yield value
        finally:
            with self._condition:
                self._iterators = [other for other in self._iterators if other is not seen]

    def set(self, status: KafkaStatus) -> None:
        """For the owner: the status is *status* now."""
        with self._condition:
            if status is self._current:
                return
            self._current = status
            for seen in self._iterators:
                seen.append(status)
            for subscription in self._subscriptions:
                self._call(subscription, status)
            self._condition.notify_all()

    def _call(self, subscription: Subscription, status: KafkaStatus) -> None:
        def call() -> None:
            if subscription in self._subscriptions:
                refuse_awaitable(subscription.callback(status), "a status callback")

        self._submit(call)

    def drop(self, subscription: Subscription) -> None:
        """For :class:`Subscription`: call its callback no more."""
        with self._condition:
            self._subscriptions = [s for s in self._subscriptions if s is not subscription]
