"""Finding the topics that regular expressions match, now and later."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from kafka_patterns.errors import TransportError
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.routes import Routes
from kafka_patterns.transport.base import Admin
from kafka_patterns.transport.group import Member

__all__ = ["Discovery"]

logger = logging.getLogger("kafka_patterns.discovery")

_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0


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

    def look_first(self) -> None:
        """Before the group is joined: what exists already is no new topic.

        :raises TransportError: if no broker answers.
        """
        if self._routes.has_expressions:
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
