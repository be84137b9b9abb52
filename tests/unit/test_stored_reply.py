"""Replies that are kept and read again make the same bytes on the wire."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import JsonSerializer, Message, PayloadError
from kafka_patterns.failures.stored_reply import read_reply, write_reply

SERIALIZER = JsonSerializer()


@attrs.frozen
class Entry:
    key: str
    value: int
    at: datetime


def on_the_wire(reply: Any) -> Message:
    return SERIALIZER.serialize(reply, topic="hero.reply", pattern="hero")


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)
HEADERS = st.lists(st.tuples(st.text(st.characters(codec="ascii"), min_size=1), st.binary()))
MESSAGES = st.builds(
    Message,
    value=PLAIN | st.binary(),
    key=st.none() | TEXT | st.binary(),
    headers=HEADERS,
    partition=st.none() | st.integers(0, 9),
    timestamp=st.none() | st.integers(0, 2**40),
)


def is_no_broken_envelope(value: Any) -> bool:
    return not (isinstance(value, dict) and ("key" in value or "value" in value))


@given(PLAIN.filter(is_no_broken_envelope) | st.binary() | MESSAGES)
def test_reply_that_was_kept_makes_the_same_bytes(reply: Any):
    assert on_the_wire(read_reply(write_reply(reply))) == on_the_wire(reply)


@pytest.mark.parametrize(
    "reply",
    [
        Entry("k", 1, datetime(2026, 1, 2, tzinfo=timezone.utc)),
        [Entry("k", 1, datetime(2026, 1, 2, tzinfo=timezone.utc))],
        {"value": {"id": 1}, "key": "k", "headers": {"realm": "Nest"}},
        {"price": Decimal("1.10"), "id": UUID(int=5), "tags": {"b", "a"}, "raw": b"\x00\xff"},
        Decimal("1.10"),
        datetime(2026, 1, 2, tzinfo=timezone.utc),
        1.0,
        True,
        "5",
        "",
    ],
)
def test_objects_come_back_as_the_same_bytes(reply: Any):
    assert on_the_wire(read_reply(write_reply(reply))) == on_the_wire(reply)


def test_plain_replies_come_back_as_plain_data():
    assert read_reply(write_reply({"a": [1, "2", None]})) == {"a": [1, "2", None]}
    assert read_reply(write_reply(None)) is None
    assert read_reply(write_reply(b"\x80")) == b"\x80"


def test_form_has_a_version():
    assert json.loads(write_reply([1])) == {"v": 1, "value": {"json": [1]}}


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"v":2,"value":{"json":1}}'])
def test_text_that_is_not_ours_is_refused(text: str):
    with pytest.raises(PayloadError, match="a stored reply cannot be read"):
        read_reply(text)


def test_reply_without_a_json_form_is_refused():
    with pytest.raises(PayloadError):
        write_reply(object())
