"""Marks: what the decorators of handlers say of a function."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import attrs
from cattrs import Converter

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.dead_letter import DeadLetter
from kafka_patterns.failures.policy import Retry
from kafka_patterns.failures.retry_topics import RetryTopics
from kafka_patterns.patterns import MARKS_ATTRIBUTE, normalize_pattern, validate_topic_name
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.serialization.registry import (
    check_converter,
    check_deserializer,
    check_serializer,
)
from kafka_patterns.synchronous import refuse_async

__all__ = [
    "Batch",
    "Function",
    "HandlerKind",
    "HandlerMark",
    "Ordering",
    "event_pattern",
    "marks_of",
    "message_pattern",
]

Ordering = Literal["partition", "key", "unordered"]
Function = TypeVar("Function", bound=Callable[..., Any])

_ORDERINGS = ("partition", "key", "unordered", None)


class HandlerKind(enum.Enum):
    """Whether a handler answers."""

    MESSAGE = "message"
    EVENT = "event"


@attrs.frozen(kw_only=True)
class Batch:
    """How the messages of a batch handler are gathered, partition by partition.

    :param max_size: messages in one batch at most; fewer if ``run.max_in_flight`` gives a
        partition less.
    :param max_wait: seconds the first message waits for others.
    """

    max_size: int = 500
    max_wait: float = 0.2

    def __attrs_post_init__(self) -> None:
        if type(self.max_size) is not int or self.max_size < 1:
            raise ConfigurationError(f"Batch.max_size {self.max_size!r} is not an int from 1")
        if not self.max_wait >= 0:
            raise ConfigurationError(f"Batch.max_wait {self.max_wait!r} is not a time from 0")


@attrs.frozen
class HandlerMark:
    """What a decorator says of a function.

    :param pattern: the topic, or the text of the regular expression.
    :param regex: the regular expression, if it is one.
    """

    pattern: str
    kind: HandlerKind
    ordering: Ordering | None = None
    serializer: Serializer | None = None
    deserializer: Deserializer | None = None
    converter: Converter | None = None
    max_concurrency: int | None = None
    regex: re.Pattern[str] | None = None
    batch: Batch | None = None
    retry: Retry | RetryTopics | None = None
    dead_letter: DeadLetter | None = None


def message_pattern(
    pattern: Any,
    *,
    ordering: Ordering | None = None,
    max_concurrency: int | None = None,
    retry: Retry | None = None,
    dead_letter: DeadLetter | None = None,
    serializer: Serializer | None = None,
    deserializer: Deserializer | None = None,
    converter: Converter | None = None,
) -> Callable[[Function], Function]:
    """Mark a function as the handler of requests on *pattern*: what it returns is the reply.

    :param pattern: a topic, a list of topics, or a compiled regular expression that must match
        the whole name of a topic; topics that come later are read from their beginning.
    :param ordering: ``partition``, ``key`` or ``unordered``; ``run.ordering`` if not given, and
        ``key`` if that is not given either.
    :param max_concurrency: how many messages, of all its patterns together, may be worked on at
        once; as many as there are workers, if not given.
    :param retry: tries again when it fails, before the error is answered and before the caller's
        deadline; without it only after ``KafkaRetriableException``. Of a handler that yields
        several replies, only before the first one.
    :param dead_letter: where a request goes, beside the error reply, that is not tried again; not
        if the error is an ``RpcException``, which is an answer.
    :param serializer: writes the replies, instead of the server's.
    :param deserializer: reads the payloads, instead of the server's.
    :param converter: the cattrs converter for payloads that are annotated, instead of the
        server's.
    :raises ConfigurationError: if *pattern* makes no legal topic name, or the function is
        asynchronous.
    """
    template = HandlerMark(
        "",
        HandlerKind.MESSAGE,
        ordering=ordering,
        serializer=serializer,
        deserializer=deserializer,
        converter=converter,
        max_concurrency=max_concurrency,
        retry=retry,
        dead_letter=dead_letter,
    )
    return _marker(pattern, template)


def event_pattern(
    pattern: Any,
    *,
    ordering: Ordering | None = None,
    max_concurrency: int | None = None,
    batch: Batch | None = None,
    retry: Retry | RetryTopics | None = None,
    dead_letter: DeadLetter | None = None,
    deserializer: Deserializer | None = None,
    converter: Converter | None = None,
) -> Callable[[Function], Function]:
    """Mark a function as a handler of events on *pattern*; what it returns is dropped.

    :param pattern: as for :func:`message_pattern`.
    :param ordering: ``partition``, ``key`` or ``unordered``; ``run.ordering`` if not given, and
        ``partition`` if that is not given either.
    :param max_concurrency: how many messages, of all its patterns together, may be worked on at
        once; as many as there are workers, if not given. The least of several handlers of a
        topic counts.
    :param batch: the handler gets a list of payloads at once, neighbours of one partition.
        :class:`~kafka_patterns.BatchItemFailed` finishes those before the failed one.
    :param retry: how often and when to try again when it fails; for ever with the waits of
        ``run.retry_backoff_ms``, if not given; with *dead_letter* five times with these.
        :class:`~kafka_patterns.RetryTopics` let others go on meanwhile.
    :param dead_letter: where an event goes that is not tried again, unreadable ones included;
        without it such an event is logged and dropped, unreadable ones held.
    :param deserializer: reads the payloads, instead of the server's.
    :param converter: the cattrs converter for payloads that are annotated, instead of the
        server's.
    :raises ConfigurationError: if *pattern* makes no legal topic name, or the function is
        asynchronous.
    """
    if batch is not None and ordering not in (None, "partition"):
        raise ConfigurationError("a batch handler's messages come in the order of their partition")
    if isinstance(retry, RetryTopics) and dead_letter is None:
        dead_letter = DeadLetter()
    template = HandlerMark(
        "",
        HandlerKind.EVENT,
        ordering=ordering,
        deserializer=deserializer,
        converter=converter,
        max_concurrency=max_concurrency,
        batch=batch,
        retry=retry,
        dead_letter=dead_letter,
    )
    return _marker(pattern, template)


def _marker(pattern: Any, template: HandlerMark) -> Callable[[Function], Function]:
    """Marks a function with *template*, once for each of the patterns."""
    _check(template)
    patterns = pattern if isinstance(pattern, (list, tuple)) else [pattern]
    marks = [
        attrs.evolve(
            template,
            pattern=_topic_or_text(one),
            regex=one if isinstance(one, re.Pattern) else None,
        )
        for one in patterns
    ]
    for made in marks:
        if isinstance(made.retry, RetryTopics) and made.regex is not None:
            raise ConfigurationError("RetryTopics need a topic by its name, not an expression")
        if made.dead_letter is not None and made.regex is None:
            made.dead_letter.check(made.pattern)

    def mark(function: Function) -> Function:
        refuse_async(function, "handler")
        target: Any = function
        if isinstance(function, (staticmethod, classmethod)):
            target = function.__func__
        try:
            # A list of its own: a subclass's override must not add to its parent's marks.
            setattr(target, MARKS_ATTRIBUTE, [*vars(target).get(MARKS_ATTRIBUTE, []), *marks])
        except (AttributeError, TypeError):
            raise ConfigurationError(
                f"{function!r} cannot be marked as a handler: mark a function, or mark the method "
                "in its class and use add_controller()"
            ) from None
        return function

    return mark


def _check(mark: HandlerMark) -> None:
    if mark.serializer is not None:
        check_serializer(mark.serializer)
    if mark.deserializer is not None:
        check_deserializer(mark.deserializer)
    if mark.converter is not None:
        check_converter(mark.converter)
    if mark.ordering not in _ORDERINGS:
        raise ConfigurationError(
            f"ordering {mark.ordering!r} is not one of 'partition', 'key' and 'unordered'"
        )
    maximum = mark.max_concurrency
    if maximum is not None and (type(maximum) is not int or maximum < 1):
        raise ConfigurationError(f"max_concurrency {maximum!r} is not an int from 1")
    if isinstance(mark.retry, RetryTopics):
        _check_retry_topics(mark)
    elif mark.retry is not None and not isinstance(mark.retry, Retry):
        raise ConfigurationError(f"retry {mark.retry!r} is not a policy: write Retry(...)")
    if mark.dead_letter is not None and not isinstance(mark.dead_letter, DeadLetter):
        raise ConfigurationError(f"dead_letter {mark.dead_letter!r}: write DeadLetter(...)")


def _check_retry_topics(mark: HandlerMark) -> None:
    if mark.kind is HandlerKind.MESSAGE or mark.batch is not None:
        raise ConfigurationError(
            "RetryTopics are for single events: write retry=Retry(...) for requests and batches"
        )


def _topic_or_text(pattern: Any) -> str:
    if isinstance(pattern, re.Pattern):
        if not isinstance(pattern.pattern, str):
            raise ConfigurationError(f"the pattern {pattern!r} matches bytes; topics are text")
        return pattern.pattern
    topic = normalize_pattern(pattern)
    validate_topic_name(topic)
    return topic


def marks_of(function: Any) -> list[HandlerMark]:
    """The marks of a function, in the order of its decorators from the inside out."""
    return list(getattr(function, MARKS_ATTRIBUTE, ()))
