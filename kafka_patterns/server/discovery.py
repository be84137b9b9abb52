"""The topics a server reads: what it names, and what its regular expressions match."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping

from kafka_patterns.consuming.topics import check_right, find_topics
from kafka_patterns.errors import TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.rights import READ
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.routes import Routes
from kafka_patterns.transport.base import EARLIEST, LATEST, Admin, Unsupported
from kafka_patterns.transport.group import Member

__all__ = ["Discovery"]

logger = logging.getLogger("kafka_patterns.discovery")

_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_PATIENCE_SECONDS = 3.0


class Discovery:
    """The topics a server subscribes to."""

    def __init__(self, routes: Routes, admin: Admin, assignments: Assignments) -> None:
        self._routes = routes
        self._admin = admin
        self._assignments = assignments
        self._subscribed: set[str] = set(routes.topics)
        self._looked_at = time.monotonic()

    @property
    def topics(self) -> Collection[str]:
        """What is subscribed to now."""
        return sorted(self._subscribed)

    def look_first(
        self, retry_topics: Mapping[str, str], wait: Callable[[float], object] = time.sleep
    ) -> None:
        """Before the group is joined: what exists already is no new topic.

        What is made after this is read from its beginning, whatever the option.

        :param retry_topics: those to create, each with the topic it belongs to.
        :param wait: waits that many seconds, or less.
        :raises NotAuthorized: if a right to read is missing.
        :raises TransportError: if no broker answers.
        """
        named = set(self._routes.topics).difference(retry_topics)
        check_right(self._admin, sorted(named), READ)
        self._create_topics(retry_topics)
        check_right(self._admin, sorted(retry_topics), READ)
        existing, missing = find_topics(self._admin, self._routes.topics, _PATIENCE_SECONDS, wait)
        self._assignments.existed(existing)
        # They belong to this group alone, whenever they were made.
        self._assignments.existed(dict.fromkeys(self._routes.retry_topics, ()))
        if missing:
            logger.warning(
                "these topics do not exist and the broker does not create them: %s; they are "
                "read from their beginning once they do",
                ", ".join(sorted(missing)),
            )
        if self._routes.has_expressions:
            self._match_first()

    def warn_of_left_behind(self, group: str) -> None:
        """Name the retry topics of an earlier deployment that hold events and that nobody reads."""
        try:
            existing = self._admin.topics(_ANSWER_SECONDS)
            for topic in self._routes.left_behind(group, existing):
                if self._holds_any(topic, existing[topic]):
                    logger.warning(
                        "retry topic %r holds events of an earlier deployment with more delays, "
                        "and nobody reads it: what is not handled yet is never tried again. Give "
                        "the handler its delays back until that is done, or delete the topic",
                        topic,
                    )
        except TransportError as error:
            logger.warning("looking for retry topics that nobody reads failed: %s", error)

    def _holds_any(self, topic: str, numbers: Collection[int]) -> bool:
        partitions = [TopicPartition(topic, number) for number in numbers]
        firsts, ends = (
            self._admin.offsets(dict.fromkeys(partitions, which), _ANSWER_SECONDS)
            for which in (EARLIEST, LATEST)
        )
        return any(firsts.get(partition) != ends.get(partition) for partition in partitions)

    def _create_topics(self, retry_topics: Mapping[str, str]) -> None:
        """Create retry topics with as many partitions as the topics they belong to have."""
        for topic, first in retry_topics.items():
            # To ask for a missing topic is to let the broker create it, with as many as it likes.
            partitions = self._admin.partitions(first, _ANSWER_SECONDS) or (0,)
            try:
                self._admin.create_topic(topic, len(partitions), None, _ANSWER_SECONDS)
            except (TransportError, Unsupported) as error:
                logger.warning("%s; it may still be created when it is asked for", error)

    def _match_first(self) -> None:
        existing = self._admin.topics(_ANSWER_SECONDS)
        self._subscribed = self._routes.wanted(existing)
        matched = self._subscribed.difference(self._routes.topics)
        self._assignments.existed({topic: existing[topic] for topic in matched})

    def look_again(self, member: Member) -> None:
        """In the membership's thread, now and then: subscribe to what came, from its beginning."""
        now = time.monotonic()
        if not self._routes.has_expressions or now - self._looked_at < _INTERVAL_SECONDS:
            return
        self._looked_at = now
        try:
            wanted = self._routes.wanted(self._admin.topics(_ANSWER_SECONDS))
        except TransportError as error:
            logger.warning("looking for new topics failed, trying again: %s", error)
            return
        if wanted != self._subscribed:
            came = wanted - self._subscribed
            logger.info("topics come: %s, go: %s", sorted(came), sorted(self._subscribed - wanted))
            self._assignments.existed(dict.fromkeys(came, ()))
            self._subscribed = wanted
            member.subscribe(sorted(wanted))
