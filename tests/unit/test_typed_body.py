"""The body of a record as an annotation asks for it, where scalars are bare text."""

from __future__ import annotations

import enum
import inspect
import math
from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType

import attrs
import pytest

from kafka_patterns.errors import PayloadError
from kafka_patterns.serialization.json import decode, encode_value
from kafka_patterns.serialization.typed import make_converter, structure_body

HeroName = NewType("HeroName", str)
HeroId = NewType("HeroId", int)


class Level(enum.IntEnum):
    HIGH = 2


@attrs.define
class Item:
    name: str


def read(body: bytes | None, annotation: Any) -> Any:
    return structure_body(body, decode(body), annotation)


@pytest.mark.parametrize("annotation", [inspect.Parameter.empty, None, Any, dict, object])
@pytest.mark.parametrize("body", [None, b"", b"text", b"5", b"[1]", b'{"a":1}', b"\x00a"])
def test_untyped_payload_is_the_parsed_value(annotation: Any, body: bytes | None) -> None:
    assert read(body, annotation) == decode(body)


@pytest.mark.parametrize(
    ("body", "annotation", "expected"),
    [
        (b'{"a":1}', str, '{"a":1}'),
        (b"", str, ""),
        ("ü".encode(), str | None, "ü"),
        (None, str | None, None),
        (b"[1]", HeroName, "[1]"),
        (b"[1]", Annotated[str, "x"], "[1]"),
        (b"\x00\xff", bytes, b"\x00\xff"),
        (b"[1]", bytes, b"[1]"),
        (None, bytes | None, None),
    ],
)
def test_str_and_bytes_take_the_raw_body(body: Any, annotation: Any, expected: Any) -> None:
    assert read(body, annotation) == expected


@pytest.mark.parametrize(
    ("body", "annotation", "expected"),
    [
        (b"5", int, 5),
        (b"-5", int, -5),
        (b"12345678901234567890", int, 12345678901234567890),
        (b"5", HeroId, 5),
        (b"5", float, 5.0),
        (b"5.9", float, 5.9),
        (b"1e+21", float, 1e21),
        (b"-Infinity", float, -math.inf),
        (b"true", bool, True),
        (b"false", bool, False),
        (b"5", int | None, 5),
        (None, int | None, None),
        (b"true", int | bool, True),
        (b"5", int | str, "5"),
        (b"1.10", Decimal, Decimal("1.10")),
        (b"2", Level, Level.HIGH),
        (b"2", Literal[2], 2),
        (b"2", Literal["2"], "2"),
        (b"2024-05-06T00:00:00.000Z", datetime, datetime(2024, 5, 6, tzinfo=timezone.utc)),
        (b"[1,2]", list[int], [1, 2]),
        (b'{"name":"x"}', Item, Item("x")),
        (b'[{"name":"x"}]', list[Item], [Item("x")]),
        (b"\x00a", bytes | Item, b"\x00a"),
    ],
)
def test_scalar_is_read_from_its_text(body: Any, annotation: Any, expected: Any) -> None:
    result = read(body, annotation)

    assert result == expected
    assert type(result) is type(expected)


def test_nan_is_read_from_its_text() -> None:
    assert math.isnan(read(b"NaN", float))


@pytest.mark.parametrize(
    ("body", "annotation", "message"),
    [
        (b"5.9", int, "not a valid int: expected int, got 5.9"),
        (b"5.0", int, "expected int, got 5.0"),
        (b"5 ", int, "expected int, got text '5 '"),
        (b"+5", int, "expected int, got text '\\+5'"),
        (b"05", int, "expected int, got text '05'"),
        (b"1_0", int, "expected int, got text '1_0'"),
        ("\N{ARABIC-INDIC DIGIT FIVE}".encode(), int, "expected int, got text"),
        (b"1" * 5000, int, "expected int, got text '1111"),
        (b"", int, "expected int, got text ''"),
        (b"True", bool, "expected bool, got text 'True'"),
        (b"1", bool, "expected bool, got 1"),
        (b"nan", float, "expected float, got text 'nan'"),
        (None, int, "expected int, got null"),
        (b"5", list[int], "expected an array for .*, got 5"),
        (b"text", Item, "expected an object for Item, got text 'text'"),
        (b"\x00a", Item, "expected an object for Item, got bytes"),
        (None, str, "it is null; annotate it as .*None"),
        (None, bytes, "it is null; annotate it as .*None"),
        (b"a\xff", str, r"no UTF-8 at byte 1 \(invalid start byte\); annotate it as bytes"),
    ],
)
def test_body_that_does_not_fit_is_refused(body: Any, annotation: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        read(body, annotation)


@pytest.mark.parametrize("value", [5, -1, 5.5, 1e21, 1e-7, True, False, "text", "[1]", b"\x00\xff"])
def test_scalar_sent_alone_comes_back(value: Any) -> None:
    body = encode_value(value)

    assert read(body, type(value)) == value
    assert type(read(body, type(value))) is type(value)


def test_body_is_read_with_the_converter_given() -> None:
    converter = make_converter()
    converter.register_structure_hook(Item, lambda value, _: Item(value))

    assert structure_body(b"x", "x", Item, converter=converter) == Item("x")
