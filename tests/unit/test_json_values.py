"""How values become bytes, and bytes become values."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
import types
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import Message
from kafka_patterns.serialization.json import JsonSerializer, decode, encode_value
from kafka_patterns.serialization.json_writer import JsonWriter
from kafka_patterns.serialization.typed import make_converter

PARIS = timezone(timedelta(hours=2))
NOON = datetime.fromisoformat("2024-05-06T12:30:01.002")
IDENTIFIER = UUID("0a1b2c3d-0000-4000-8000-00000000000e")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str, enum.Enum):
    ADA = "ada"


class Point(NamedTuple):
    x: int
    y: int


@attrs.define
class Item:
    name: str
    tags: set[str] = attrs.field(factory=set)
    _secret: int = 1


@dataclasses.dataclass
class Box:
    items: list[Item]
    size: Any = None


@attrs.define
class Lazy:
    later: int = attrs.field(init=False)


class Weird:
    pass


class Moment(datetime):
    pass


FORMS = [
    (NOON, "2024-05-06T12:30:01.002"),
    (NOON.replace(microsecond=2001), "2024-05-06T12:30:01.002001"),
    (NOON.replace(tzinfo=timezone.utc), "2024-05-06T12:30:01.002Z"),
    (NOON.replace(tzinfo=PARIS), "2024-05-06T10:30:01.002Z"),
    (NOON.replace(tzinfo=PARIS, microsecond=1), "2024-05-06T10:30:01.000001Z"),
    (date(2024, 5, 6), "2024-05-06"),
    (time(12, 30), "12:30:00"),
    (time(12, 30, 1, 5, tzinfo=PARIS), "12:30:01.000005+02:00"),
    (Decimal("1.10"), "1.10"),
    (Decimal("1E+3"), "1E+3"),
    (IDENTIFIER, "0a1b2c3d-0000-4000-8000-00000000000e"),
    (Color.RED, "red"),
    (Name.ADA, "ada"),
    (Moment(2024, 5, 6, tzinfo=timezone.utc), "2024-05-06T00:00:00.000Z"),
]


@pytest.mark.parametrize(("value", "text"), FORMS)
def test_scalar_has_the_same_text_alone_and_in_an_object(value: Any, text: str) -> None:
    assert encode_value(value) == text.encode()
    assert encode_value({"a": [value]}) == b'{"a":["%b"]}' % text.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Level.HIGH, b"3"),
        (Point(1, 2), b"[1,2]"),
        ((1, "a"), b'[1,"a"]'),
        ({"c", "a", "b"}, b'["a","b","c"]'),
        (frozenset({10, 9}), b"[10,9]"),
        (Item("x", {"b", "a"}), b'{"name":"x","tags":["a","b"],"_secret":1}'),
        (Box([Item("x")], Level.HIGH), b'{"items":[{"name":"x","tags":[],"_secret":1}],"size":3}'),
        (types.MappingProxyType({"a": 1}), b'{"a":1}'),
        (bytearray(b"\x00a"), b"\x00a"),
        (memoryview(b"abc"), b"abc"),
        ([b"\x00a"], b'[{"type":"Buffer","data":[0,97]}]'),
        ([bytearray(b"a"), memoryview(b"b")],
         b'[{"type":"Buffer","data":[97]},{"type":"Buffer","data":[98]}]'),
        (10**30, b"1" + b"0" * 30),
        ({"n": 10**30}, b'{"n":1' + b"0" * 30 + b"}"),
    ],
)  # fmt: skip
def test_other_types_have_one_form(value: Any, expected: bytes) -> None:
    assert encode_value(value) == expected


def test_halves_of_a_character_become_one() -> None:
    assert encode_value(["\ud83d\udc09", "\ud83d-\udc09"]) == (
        b'["\xf0\x9f\x90\x89","\\ud83d-\\udc09"]'
    )


def test_order_of_a_set_is_the_same_in_every_process() -> None:
    program = (
        "from kafka_patterns.serialization.json import encode_value;"
        "print(encode_value({'names': set('abcdefghij')}).decode())"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert written == {'{"names":["a","b","c","d","e","f","g","h","i","j"]}\n'}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        (1e-7, "1e-7"),
        (True, "true"),
        (None, "null"),
        (IDENTIFIER, str(IDENTIFIER)),
        (date(2024, 5, 6), "2024-05-06"),
        (Decimal("1.5"), "1.5"),
        (Color.RED, "red"),
        (Level.HIGH, "3"),
        (Name.ADA, "ada"),
        (-0.0, "0"),
    ],
)
def test_names_in_an_object_become_text(key: Any, name: str) -> None:
    assert encode_value({key: 1.0}) == json.dumps({name: 1}, separators=(",", ":")).encode()


def recursive_list() -> list[Any]:
    items: list[Any] = []
    items.append({"again": items})
    return items


def recursive_box() -> Box:
    box = Box([])
    box.size = {"inner": box}
    return box


def nested(depth: int) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for _ in range(depth):
        payload = {"a": payload}
    return payload


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (Weird(), r"at \$, a tests.unit.test_json_values.Weird has no JSON form"),
        (1 + 2j, r"at \$, a complex has no JSON form; convert it"),
        ({"a": [1, {"b c": object()}]}, r"at \$\.a\[1\]\['b c'\], an object has no JSON form"),
        (Box([], Weird()), r"at \$\.size, a .*Weird has no JSON form"),
        ({"a": {1j}}, r"at \$\.a\[0\], a complex has no JSON form"),
        ({"a": {(1, 2): 3}}, r"at \$\.a\[\(1, 2\)\], a tuple cannot be the name of a field"),
        ({b"a": 1}, r"a bytes cannot be the name of a field"),
        (recursive_list(), r"at \$\[0\]\.again, it contains itself"),
        ([recursive_box()], r"at \$\[0\]\.size\.inner, it contains itself"),
        (nested(100_000), r"at \$(\.a)+…, it is nested more than 1,000 levels deep"),
        (10**5000, "the int has too many digits"),
        ({"n": [10**5000]}, r"at \$\.n\[0\], an int has too many digits"),
        ("a\ud800", "the text cannot be written as UTF-8: there is a lone surrogate at index 1"),
        ([Message(value=1)], r"at \$\[0\], a Message cannot be part of a payload"),
        ({"a": datetime.min.replace(tzinfo=PARIS)}, r"at \$\.a, date value out of range"),
        ({"a": Lazy()}, r"at \$\.a, .*later"),
        ({"a": (number for number in (1, 2))}, r"at \$\.a, a generator has no JSON form"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_written_is_named_with_its_place(payload: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        encode_value(payload)


def test_the_same_object_twice_is_no_recursion() -> None:
    shared = {"price": 1.0}
    assert encode_value({"a": shared, '"': [shared, shared]}) == (
        b'{"a":{"price":1},"\\"":[{"price":1},{"price":1}]}'
    )


def test_own_converter_decides_before_the_documented_forms() -> None:
    converter = make_converter()
    converter.register_unstructure_hook(Weird, lambda _: {"weird": 1.0})
    converter.register_unstructure_hook(Item, lambda item: item.name)
    serializer = JsonSerializer(converter.unstructure)

    payload = {"a": Weird(), "b": [Item("x"), NOON]}
    message = serializer.serialize(payload, topic="t", pattern="t")

    assert message.value == b'{"a":{"weird":1},"b":["x","2024-05-06T12:30:01.002"]}'


def test_converter_that_never_ends_is_a_payload_error() -> None:
    writer = JsonWriter(lambda _: Weird())
    with pytest.raises(PayloadError, match="never becomes plain data"):
        encode_value([Weird()], writer=writer)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(json_values) | st.dictionaries(st.text(), json_values))
def test_json_is_read_back_as_it_was(payload: Any) -> None:
    body = encode_value(payload)
    assert body is not None
    # A whole float loses its type, as it does in JavaScript: 1e16 is an int afterwards.
    assert json.loads(body, parse_int=float) == json.loads(json.dumps(payload), parse_int=float)
    assert decode(body) == json.loads(body)


@given(st.binary())
def test_reading_never_fails(body: bytes) -> None:
    decode(body)
    decode(b"[" + body)
    decode(b'{"a":' + body)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
     b"[" + b"1" * 1_000_000 + b"]"],
    ids=["arrays", "objects", "digits"],
)  # fmt: skip
def test_json_that_python_refuses_stays_text(body: bytes) -> None:
    assert decode(body) == body.decode()


def test_long_integers_keep_their_digits() -> None:
    assert decode(b'{"n":12345678901234567890}') == {"n": 12345678901234567890}


def test_bytes_that_start_with_nul_are_not_touched() -> None:
    body = b"\x00{}"
    assert decode(body) is body
