"""What a producer knows of topics, and how it asks the cluster for them. Any thread.

With each answer the base forgets all topics that it did not ask for; and between two questions
it pauses, as after a failure, so that the first message to each topic waits for that pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from kafka.cluster import ClusterMetadata

from kafka_patterns.transport.kafka_python.authorization import forbidden_topics

__all__ = ["KnownTopics", "Missing"]

_PAUSE_MS = 10.0
"""Between two questions of which the second is for topics nobody asked for yet."""
_MISSING = (3, 17)  # the protocol's codes: unknown topic, no legal name
_FORGET_SECONDS = 30.0
"""A topic that was asked for longer ago may have been made and deleted, or is being made now."""
_MAX_MISSING = 10_000
"""Callers name topics at will: of so many it is remembered that they do not exist."""


class Missing(NamedTuple):
    """When, in monotonic seconds, the cluster said first and last that a topic does not exist."""

    since: float
    last: float


class KnownTopics:
    """The topics of one of the base's producers.

    :param sender: the base's I/O thread.
    """

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._client = sender._client
        self._cluster = self._client.cluster
        # Sets, of which single operations are atomic: all who send share them.
        self._expected: set[str] = set()
        self._unanswered: set[str] = set()
        self._failed = False  # the last question; the I/O thread's alone
        self._missing: dict[str, Missing] = {}  # changed in the I/O thread alone
        self._usual_ttl = self._cluster.ttl
        self._usual_update = self._cluster.update_metadata
        self._usual_failure = self._cluster.failed_update
        self._cluster.ttl = self._milliseconds_to_question
        self._cluster.update_metadata = self._answered
        self._cluster.failed_update = self._not_answered

    def partitions(self, topic: str) -> Mapping[int, Any] | None:
        """Partition number to its metadata, or ``None`` while *topic* is unknown."""
        states: Mapping[int, Any] | None = self._cluster._partitions.get(topic)
        if not states:
            return None
        if topic not in self._client._topics:
            self._client._topics.add(topic)  # it would be forgotten with the next answer
        return states

    def ask(self, topic: str, answered: Callable[[bool], None]) -> None:
        """Ask the cluster for *topic*, at once if nobody did before.

        :param answered: called from the I/O thread, with whether this user may not know of it.
        """

        def tell(answer: Any) -> None:
            # Of a single topic the base keeps no record, but raises.
            noted = isinstance(answer, ClusterMetadata)
            answered(topic in (answer.unauthorized_topics if noted else forbidden_topics(answer)))

        if topic not in self._client._topics:
            self._unanswered.add(topic)
            self._client._topics.add(topic)
        self._cluster.request_update().add_both(tell)
        self._sender.wakeup()

    def missing(self, topic: str) -> Missing | None:
        """Since when the cluster says that *topic* does not exist, if it said so last."""
        return self._missing.get(topic)

    def forget(self, topic: str) -> None:
        """Nobody waits for *topic* any longer: do not ask for it again by itself."""
        self._unanswered.discard(topic)
        self._client._topics.discard(topic)

    def learn(self, topics: Collection[str]) -> None:
        """Know those of *topics* that exist before somebody asks for them.

        Not by asking for them: to ask for a missing topic is to let the broker create it.
        The base's first question is for all topics.
        """
        self._expected.update(topics)
        known = self._cluster._partitions  # a new one with each answer
        self._client._topics.update(topic for topic in topics if topic in known)

    # In the I/O thread

    def _milliseconds_to_question(self) -> float:
        usual: float = self._usual_ttl()
        if not self._unanswered or self._failed:
            return usual
        since: float = time.time() * 1000 - self._cluster._last_refresh_ms
        return max(0.0, min(usual, _PAUSE_MS - since))

    def _answered(self, answer: Any) -> None:
        now = time.monotonic()
        for error_code, topic, *_ in answer.topics:
            self._unanswered.discard(topic)
            if not error_code and topic in self._expected:
                self._client._topics.add(topic)
            if error_code in _MISSING:
                self._note_missing(topic, now)
            elif topic in self._missing:
                del self._missing[topic]
        self._usual_update(answer)
        self._failed = False

    def _note_missing(self, topic: str, now: float) -> None:
        before = self._missing.pop(topic, None)
        if before is None or now - before.last > _FORGET_SECONDS:
            before = Missing(now, now)
            if len(self._missing) >= _MAX_MISSING:
                del self._missing[next(iter(self._missing))]  # the one asked for longest ago
        self._missing[topic] = Missing(before.since, now)

    def _not_answered(self, error: BaseException) -> None:
        self._failed = True
        self._usual_failure(error)
