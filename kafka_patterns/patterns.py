"""Patterns and the topics they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.headers import (
    DEAD_LETTER_TOPIC_SUFFIX,
    INTERNAL_TOPIC_PREFIX,
    REPLY_TOPIC_SUFFIX,
    RETRY_TOPIC_MARK,
    SPRING_DEAD_LETTER_TOPIC_SUFFIX,
)

__all__ = [
    "MARKS_ATTRIBUTE",
    "is_dead_letter_topic",
    "is_own_business",
    "is_retry_topic",
    "is_valid_topic_name",
    "normalize_pattern",
    "reply_topic",
    "validate_topic_name",
]

MARKS_ATTRIBUTE = "__kafka_patterns_marks__"
"""Where a function has the patterns that it was marked to handle."""

_MAX_DEPTH = 5
_MAX_KEYS = 20
_MAX_TOPIC_LENGTH = 249
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}", re.ASCII)
_FOREIGN_CHARACTER = re.compile(r"[^a-zA-Z0-9._-]", re.ASCII)
_DEAD_LETTER_SUFFIXES = (DEAD_LETTER_TOPIC_SUFFIX, SPRING_DEAD_LETTER_TOPIC_SUFFIX)
# Spring numbers its retry topics or names their delays, or has one without either.
_RETRY_TOPIC = re.compile(f"{RETRY_TOPIC_MARK.rstrip('-')}(-[0-9]+)?$", re.ASCII)
# The order of punctuation in the root collation, which localeCompare() of Node follows.
_PUNCTUATION = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"


def normalize_pattern(pattern: Any) -> str:
    """Return the topic that *pattern* stands for, as NestJS works it out.

    A text is the topic itself, an int its digits; a mapping becomes a JSON-like text with
    sorted keys, which is no legal topic name, but the same text as on the other side.

    :raises ConfigurationError: if *pattern* is ``None`` or anything else.
    """
    if pattern is None:
        raise ConfigurationError(
            "the pattern is None; give the name of the topic, such as 'hero.kill.dragon'"
        )
    if isinstance(pattern, bool):
        raise _refusal(pattern)
    return _route(pattern, depth=0)


def _route(pattern: Any, depth: int) -> str:
    if isinstance(pattern, str):
        return str.__str__(pattern)
    if pattern is None or isinstance(pattern, bool):
        return {None: "null", True: "true", False: "false"}[pattern]
    if isinstance(pattern, int):
        return int.__repr__(pattern)
    if isinstance(pattern, (list, tuple)):
        pattern = {str(index): item for index, item in enumerate(pattern)}
    if isinstance(pattern, Mapping):
        return _mapping_route(pattern, depth)
    raise _refusal(pattern)


def _refusal(pattern: Any) -> ConfigurationError:
    return ConfigurationError(
        f"a pattern is a text, an int or a mapping of those, not {type(pattern).__qualname__} "
        f"({pattern!r:.60})"
    )


def _mapping_route(pattern: Mapping[Any, Any], depth: int) -> str:
    if depth > _MAX_DEPTH:
        return "[MAX_DEPTH_REACHED]"
    if len(pattern) > _MAX_KEYS:
        return "[TOO_MANY_KEYS]"
    parts = {str(key): _part(item, depth + 1) for key, item in pattern.items()}
    ordered = sorted(parts, key=_collation_key)
    return "{" + ",".join(f'"{_escape(key)}":{parts[key]}' for key in ordered) + "}"


def _part(item: Any, depth: int) -> str:
    route = _route(item, depth)
    return f'"{_escape(route)}"' if isinstance(item, str) else route


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _collation_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Order as localeCompare() does for ASCII: punctuation, digits, letters, a before A."""
    return [_character_key(character) for character in text], text.swapcase()


def _character_key(character: str) -> tuple[int, int, str]:
    if character in _PUNCTUATION:
        return 0, _PUNCTUATION.index(character), ""
    return (1 if character.isdigit() else 2), 0, character.casefold()


def reply_topic(topic: str) -> str:
    """Return the topic on which the replies to the requests on *topic* arrive."""
    return topic + REPLY_TOPIC_SUFFIX


def is_valid_topic_name(name: str) -> bool:
    """Whether Kafka accepts *name*: 1 to 249 of a-z, A-Z, 0-9, ``.``, ``_``, ``-``."""
    return _TOPIC_NAME.fullmatch(name) is not None and name not in (".", "..")


def validate_topic_name(name: str) -> None:
    """Check that Kafka accepts *name* as a topic.

    :raises ConfigurationError: if not; names the first bad character and a legal name.
    """
    if is_valid_topic_name(name):
        return
    if not name:
        raise ConfigurationError("the name of a topic is empty; give one such as 'hero.entered'")
    if name in (".", ".."):
        raise ConfigurationError(f"{name!r} cannot be the name of a topic; Kafka reserves it")
    bad = _FOREIGN_CHARACTER.search(name)
    if bad is not None:
        suggestion = _FOREIGN_CHARACTER.sub("_", name)[:_MAX_TOPIC_LENGTH]
        raise ConfigurationError(
            f"{name!r:.300} cannot be the name of a topic: {bad[0]!r} at index {bad.start()} is "
            f"not allowed. Use letters a-z and A-Z, digits, '.', '_' and '-', for example "
            f"{suggestion!r}"
        )
    raise ConfigurationError(
        f"{name!r} cannot be the name of a topic: it has {len(name)} characters, Kafka allows "
        f"{_MAX_TOPIC_LENGTH}. Shorten it, and leave room for '{REPLY_TOPIC_SUFFIX}' if requests "
        "go there"
    )


def is_own_business(topic: str) -> bool:
    """Whether *topic* holds replies, retries, dead letters or a broker's own records.

    A regular expression never matches such a topic: reading it would be an accident.
    """
    return (
        topic.startswith(INTERNAL_TOPIC_PREFIX)
        or topic.endswith(REPLY_TOPIC_SUFFIX)
        or is_dead_letter_topic(topic)
        or is_retry_topic(topic)
    )


def is_dead_letter_topic(topic: str) -> bool:
    """Whether *topic* holds dead letters, by its name."""
    return topic.endswith(_DEAD_LETTER_SUFFIXES)


def is_retry_topic(topic: str) -> bool:
    """Whether *topic* holds what is tried again later, by its name."""
    return _RETRY_TOPIC.search(topic) is not None
