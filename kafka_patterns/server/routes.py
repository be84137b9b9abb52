"""Which handlers a topic has."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.retry_topics import RetryTopics
from kafka_patterns.patterns import is_own_business, reply_topic
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.lanes import Limit
from kafka_patterns.server.marks import HandlerKind, HandlerMark, Ordering

__all__ = ["Route", "Routes"]


@attrs.define
class Route:
    """The handlers of one topic: one for messages, or any number for events.

    :param retry_level: of a retry topic: which try, after the first, its messages are due for.
    """

    topic: str
    message: Handler | None = None
    events: list[Handler] = attrs.field(factory=list)
    limit: Limit | None = None
    retry_level: int = 0

    @property
    def handlers(self) -> list[Handler]:
        """All of them."""
        return self.events if self.message is None else [self.message]

    @property
    def batch_handler(self) -> Handler | None:
        """The one handler, if it takes batches."""
        handler = self.events[0] if self.events else None
        return handler if handler is not None and handler.mark.batch is not None else None

    def ordering(self, default: Ordering | None) -> Ordering:
        """The strictest order any of its handlers declares; by default what suits the kind."""
        if self.batch_handler is not None or self.retry_level:
            return "partition"  # in a retry topic the first one is due first
        declared = [handler.mark.ordering for handler in self.handlers]
        fallback: Ordering = default or ("partition" if self.message is None else "key")
        wanted = {ordering or fallback for ordering in declared}
        if "partition" in wanted or not wanted:
            return "partition"
        return "key" if "key" in wanted else "unordered"


class Routes:
    """All handlers of a server, by topic or by regular expression."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._by_regex: dict[re.Pattern[str], Route] = {}
        self._matched: dict[str, Route | None] = {}
        self.dead_letter_topics: set[str] = set()
        """Those that have names of their own."""

    def add(self, handler: Handler) -> None:
        """Register *handler*.

        :raises ConfigurationError: for a second message handler on one pattern, or a message
            and an event handler, which NestJS would silently lose one of.
        """
        mark = handler.mark
        self._matched.clear()
        if any(_is_same(handler, other) for other in self._handlers_of(mark)):
            return  # a module that was included twice has each of its handlers once
        if mark.dead_letter is not None and mark.dead_letter.topic is not None:
            self.dead_letter_topics.add(mark.dead_letter.topic)
        if mark.regex is None:
            route = self._routes.setdefault(mark.pattern, Route(mark.pattern))
        else:
            route = self._by_regex.setdefault(mark.regex, Route(mark.pattern))
        if mark.kind is HandlerKind.EVENT and route.message is None:
            route.events.append(handler)
        elif mark.kind is HandlerKind.MESSAGE and not route.message and not route.events:
            route.message = handler
        else:
            other = route.message or route.events[0]
            raise ConfigurationError(
                f"pattern {mark.pattern!r} has two handlers that cannot stand together: "
                f"{other.mark.kind.value} handler {other.name} and "
                f"{mark.kind.value} handler {handler.name}. One pattern takes one message "
                "handler, or any number of event handlers"
            )
        if len(route.events) > 1 and any(other.mark.batch for other in route.events):
            raise ConfigurationError(
                f"pattern {mark.pattern!r}: a batch handler must be its only handler"
            )
        if len(route.events) > 1 and any(
            isinstance(h.mark.retry, RetryTopics) for h in route.events
        ):
            raise ConfigurationError(
                f"pattern {mark.pattern!r}: a handler with retry topics must be its only handler"
            )

    def _handlers_of(self, mark: HandlerMark) -> list[Handler]:
        if mark.regex is None:
            route = self._routes.get(mark.pattern)
        else:
            route = self._by_regex.get(mark.regex)
        return [] if route is None else route.handlers

    def open_retry_topics(self, group: str) -> dict[str, str]:
        """Read the retry topics of all handlers as well. Again is no harm.

        :returns: the retry topics that may be created, each with the topic it belongs to.
        :raises ConfigurationError: if one has a handler of its own, or no legal name.
        """
        wanted = {}
        for route in list(self._routes.values()):
            retry = route.handlers[0].mark.retry
            if route.retry_level or not isinstance(retry, RetryTopics):
                continue
            for level, topic in enumerate(retry.topics(route.topic, group), start=1):
                made = Route(topic, events=route.handlers, retry_level=level)
                if not self._routes.setdefault(topic, made).retry_level:
                    raise ConfigurationError(
                        f"{topic!r} is a retry topic of {route.topic!r}, and has a handler itself"
                    )
                if retry.create:
                    wanted[topic] = route.topic
        return wanted

    def left_behind(self, group: str, existing: Collection[str]) -> list[str]:
        """Which *existing* topics held later tries of events once, and are read no longer.

        A handler had more delays, or retry topics at all, when they were made.
        """
        firsts = [
            f"{topic}-{group}{headers.RETRY_TOPIC_MARK}"
            for topic, route in self._routes.items()
            if route.events and not route.retry_level
        ]
        return sorted(
            topic
            for topic in existing
            if self.get(topic) is None
            and any(topic.startswith(first) and topic[len(first) :].isdecimal() for first in firsts)
        )

    def renew_limits(self) -> None:
        """Limits for a new run: nothing runs, and nothing waits for its turn.

        All topics of a handler share its limit. Of several handlers of a topic the least counts.
        """
        limits: dict[Any, Limit] = {}
        for route in [*self._routes.values(), *self._by_regex.values()]:
            route.limit = None
            limited = [
                (h.mark.max_concurrency, h) for h in route.handlers if h.mark.max_concurrency
            ]
            if limited:
                maximum, handler = min(limited, key=lambda entry: entry[0])
                key = (_identity(handler), maximum)
                route.limit = limits.setdefault(key, Limit(maximum))

    def get(self, topic: str) -> Route | None:
        """The handlers of *topic*: its own, or else those of the first expression that matches."""
        route = self._routes.get(topic)
        if route is not None or not self._by_regex:
            return route
        if topic not in self._matched:
            self._matched[topic] = self._match(topic)
        return self._matched[topic]

    def _match(self, topic: str) -> Route | None:
        if is_own_business(topic) or topic in self.dead_letter_topics:
            return None
        for regex, route in self._by_regex.items():
            if regex.fullmatch(topic):
                return route
        return None

    @property
    def topics(self) -> Collection[str]:
        """All topics that have handlers by their name."""
        return sorted(self._routes)

    @property
    def reply_topics(self) -> Collection[str]:
        """Where callers want their replies, unless they have names of their own for that."""
        return [reply_topic(route.topic) for route in self._routes.values() if route.message]

    @property
    def retry_topics(self) -> Collection[str]:
        """Those of them that hold later tries."""
        return [topic for topic, route in self._routes.items() if route.retry_level]

    @property
    def has_expressions(self) -> bool:
        """Whether topics must be looked for."""
        return bool(self._by_regex)

    def wanted(self, existing: Collection[str]) -> set[str]:
        """The topics to read, given those that exist."""
        return {*self._routes, *(topic for topic in existing if self.get(topic) is not None)}


def _is_same(one: Handler, other: Handler) -> bool:
    return _identity(one) == _identity(other) and one.mark == other.mark


def _identity(handler: Handler) -> tuple[int, int]:
    """Which function of which object it is: methods are bound anew each time."""
    return id(handler.owner), id(getattr(handler.function, "__func__", handler.function))
