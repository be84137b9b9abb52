"""Patterns become topics, and topics are names that Kafka accepts."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.patterns import (
    is_valid_topic_name,
    normalize_pattern,
    reply_topic,
    validate_topic_name,
)
from tests.golden import rows


class Topic(str, enum.Enum):
    KILL = "hero.kill"


@pytest.mark.parametrize("row", rows("patterns"), ids=lambda row: json.dumps(row)[:60])
def test_pattern_becomes_the_topic_that_nestjs_uses(row: dict[str, Any]) -> None:
    assert normalize_pattern(row["pattern"]) == row["topic"]


def test_member_of_a_text_enum_is_its_text() -> None:
    assert normalize_pattern(Topic.KILL) == "hero.kill"
    assert normalize_pattern({"cmd": Topic.KILL}) == '{"cmd":"hero.kill"}'


def test_none_is_refused_as_a_pattern() -> None:
    with pytest.raises(ConfigurationError, match="the pattern is None; give the name"):
        normalize_pattern(None)


@pytest.mark.parametrize("pattern", [True, 1.5, b"topic", object(), {"a": {1, 2}}, [b"x"]])
def test_other_types_are_refused_as_a_pattern(pattern: Any) -> None:
    with pytest.raises(ConfigurationError, match="a pattern is a text, an int or a mapping"):
        normalize_pattern(pattern)


def test_self_referencing_pattern_ends() -> None:
    pattern: dict[str, Any] = {}
    pattern["again"] = pattern

    assert "[MAX_DEPTH_REACHED]" in normalize_pattern(pattern)


def test_reply_topic_is_the_topic_with_reply() -> None:
    assert reply_topic("hero.kill.dragon") == "hero.kill.dragon.reply"


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "x" * 249])
def test_legal_names_pass(name: str) -> None:
    assert is_valid_topic_name(name)
    validate_topic_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        (".", "Kafka reserves it"),
        ("..", "Kafka reserves it"),
        ("x" * 250, "it has 250 characters, Kafka allows 249"),
        ("hero kill", r"' ' at index 4 is not allowed.*for example 'hero_kill'"),
        ("héro", r"'é' at index 1 is not allowed.*for example 'h_ro'"),
        ("topic\n", r"'\\n' at index 5"),
        ('{"cmd":"x"}', r"'\{' at index 0"),
    ],
)
def test_illegal_names_are_refused_with_the_reason(name: str, message: str) -> None:
    assert not is_valid_topic_name(name)
    with pytest.raises(ConfigurationError, match=message):
        validate_topic_name(name)


@given(st.text(max_size=260))
def test_a_name_is_refused_exactly_if_it_is_not_valid(name: str) -> None:
    if is_valid_topic_name(name):
        validate_topic_name(name)
    else:
        with pytest.raises(ConfigurationError):
            validate_topic_name(name)
