"""Payloads as annotations ask for them, strictly."""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import (  # noqa: UP035 - the old spellings are tested too
    Annotated,
    Any,
    Dict,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import attrs
import pytest
from typing_extensions import NotRequired

from kafka_patterns.errors import ConfigurationError, PayloadError
from kafka_patterns.serialization.typed import (
    check_annotation,
    make_converter,
    structure,
    unstructure,
)

T = TypeVar("T")
HeroId = NewType("HeroId", int)
IDENTIFIER = UUID("0a1b2c3d-0000-4000-8000-00000000000e")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(str, enum.Enum):
    ADA = "ada"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict):
    size: int
    label: NotRequired[str]


@attrs.define
class Item:
    name: str
    weight: float = 1.0


@dataclasses.dataclass
class Crate:
    items: list[Item]
    owner: str | None = None


@attrs.define
class Node:
    value: int
    children: list[Node] = attrs.field(factory=list)
    parent: Node | None = None


@attrs.define
class Page(Generic[T]):
    number: int
    entries: list[T]


@attrs.define
class Cat:
    kind: Literal["cat"]
    lives: int


@attrs.define
class Dog:
    kind: Literal["dog"]
    lives: int


@attrs.define
class Positive:
    count: int = attrs.field(validator=attrs.validators.gt(0))


class Ratio(float, enum.Enum):
    HALF = 0.5


class Strange(enum.Enum):
    OBJECT = object()
    TEXT = "text"


class Foreign:
    pass


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (True, bool, True),
        (5, int, 5),
        (10**30, int, 10**30),
        (5, float, 5.0),
        (5.5, float, 5.5),
        ("", str, ""),
        (None, type(None), None),
        ({"type": "Buffer", "data": [0, 255]}, bytes, b"\x00\xff"),
        ({"type": "Buffer", "data": []}, bytearray, bytearray()),
        ("2024-05-06T12:30:01.002Z", datetime,
         datetime(2024, 5, 6, 12, 30, 1, 2000, timezone.utc)),
        ("2024-05-06T12:30:01.123456789+02:00", datetime,
         datetime(2024, 5, 6, 12, 30, 1, 123456, timezone(timedelta(hours=2)))),
        ("2024-05-06T12:30", datetime, datetime.fromisoformat("2024-05-06T12:30")),
        ("2024-05-06", date, date(2024, 5, 6)),
        ("12:30:01.5-01:30", time,
         time(12, 30, 1, 500000, timezone(-timedelta(hours=1, minutes=30)))),
        ("1.10", Decimal, Decimal("1.10")),
        (1.1, Decimal, Decimal("1.1")),
        (7, Decimal, Decimal(7)),
        (str(IDENTIFIER), UUID, IDENTIFIER),
        ("red", Color, Color.RED),
        ([1, 2], Color, Color.PAIR),
        (2, Level, Level.HIGH),
        ("ada", Name, Name.ADA),
        (3, Right, Right.READ | Right.WRITE),
        (0.5, Ratio, Ratio.HALF),
        ("text", Strange, Strange.TEXT),
        ([1, 2], list, [1, 2]),
        ([1, 2], list[int], [1, 2]),
        ([1, 2], Sequence[int], [1, 2]),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1, 1], set[int], {1}),
        ([1], frozenset[int], frozenset({1})),
        ([1], collections.deque[int], collections.deque([1])),
        ([1, 2], Point, Point(1, 2)),
        ([1], Point, Point(1)),
        ({"a": 1}, dict[str, int], {"a": 1}),
        ({"1": "x"}, dict[int, str], {1: "x"}),
        ({"1.5": 1}, Mapping[float, int], {1.5: 1}),
        ({"true": 1}, dict[bool, int], {True: 1}),
        ({str(IDENTIFIER): {"2024-05-06": 1}}, dict[UUID, dict[date, int]],
         {IDENTIFIER: {date(2024, 5, 6): 1}}),
        ({"red": 1}, dict[Color, int], {Color.RED: 1}),
        ({"1": 1}, dict[Level, int], {Level.LOW: 1}),
        ({"name": "x"}, Item, Item("x")),
        ({"name": "x", "weight": 2, "more": 1}, Item, Item("x", 2.0)),
        ({"items": [{"name": "x"}], "owner": None}, Crate, Crate([Item("x")])),
        ({"value": 1, "children": [{"value": 2}], "parent": {"value": 0}}, Node,
         Node(1, [Node(2)], Node(0))),
        ({"number": 1, "entries": [{"name": "x"}]}, Page[Item], Page(1, [Item("x")])),
        ({"number": 1, "entries": ["x"]}, Page[str], Page(1, ["x"])),
        ({"size": 1}, Options, {"size": 1}),
        ({"size": 1, "label": "x"}, Options, {"size": 1, "label": "x"}),
        (None, int | None, None),
        (5, int | None, 5),
        ("a", Literal["a", 1], "a"),
        (1, Literal["a", 1], 1),
        ("red", Literal[Color.RED], Color.RED),
        ("blue", Literal[Color.RED, Color.BLUE], Color.BLUE),
        (IDENTIFIER, UUID, IDENTIFIER),
        (Decimal("1.0"), Decimal, Decimal("1.0")),
        (Color.RED, Color, Color.RED),
        (b"a", bytes, b"a"),
        (5, HeroId, 5),
        (5, Annotated[int, "unit"], 5),
        ({"a": object}, Any, {"a": object}),
        ([{"kind": "dog", "lives": 1}, {"kind": "cat", "lives": 9}], list[Cat | Dog],
         [Dog("dog", 1), Cat("cat", 9)]),
    ],
    ids=str,
)  # fmt: skip
def test_documented_form_is_read(value: Any, annotation: Any, expected: Any) -> None:
    result = structure(value, annotation)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("false", bool, "expected bool, got text 'false'"),
        (1, bool, "expected bool, got 1"),
        (5.9, int, "expected int, got 5.9"),
        (5.0, int, "expected int, got 5.0"),
        (True, int, "expected int, got true"),
        ("5", int, "expected int, got text '5'"),
        (True, float, "expected float, got true"),
        (10**400, float, "expected float"),
        (5, str, "expected str, got 5"),
        (None, str, "expected str, got null"),
        (0, type(None), "expected null, got 0"),
        ("abc", bytes, "expected bytes as .*Buffer.*, got text 'abc'"),
        ({"type": "Buffer", "data": [256]}, bytes, "expected bytes"),
        ({"type": "Buffer", "data": [True]}, bytes, "expected bytes"),
        ({"type": "Buffer", "data": "abc"}, bytes, "expected bytes"),
        (1700000000, datetime, "expected an ISO 8601 date and time, got 17"),
        ("2024-05-06", datetime, "expected an ISO 8601 date and time"),
        ("2024-13-06T00:00:00Z", datetime, "expected an ISO 8601 date and time"),
        ("2024-05-06T00:00:00Z\n", datetime, "expected an ISO 8601 date and time"),
        ("٢٠٢٤-05-06", date, "expected a date as YYYY-MM-DD"),
        ("2024-05-06T00:00:00", date, "expected a date as YYYY-MM-DD"),
        ("25:00", time, "expected a time as HH:MM:SS"),
        ("12:00+99:00", time, "expected a time as HH:MM:SS"),
        ("1_000", Decimal, "expected a decimal number"),
        (" 1", Decimal, "expected a decimal number"),
        (True, Decimal, "expected a decimal number, got true"),
        ("{0a1b2c3d00004000800000000000000e}", UUID, "expected a UUID"),
        ("green", Color, r'expected one of "red", "blue", \[1,2\], got text \'green\''),
        (True, Level, "expected one of 1, 2, got true"),
        ("1", Level, "expected one of 1, 2"),
        ("abc", list[str], r"expected an array for list\[str\], got text 'abc'"),
        ({"a": 1}, list[str], "expected an array for .*, got an object"),
        ("ab", tuple[str, str], "expected an array"),
        ("ab", set[str], "expected an array"),
        ([1, 2, 3], tuple[int, int], r"expected 2 items for tuple\[int, int\], not 3"),
        ([], Point, "expected 2 items for Point, not 0"),
        ([{}], set, "unhashable"),
        ([["a", 1]], dict[str, int], "expected an object for .*, got an array"),
        ({"01": 1}, dict[int, int], r"expected int, got text '01' @ \$\['01'\]"),
        ([1], Item, "expected an object for Item, got an array"),
        ("name", Item, "expected an object for Item, got text 'name'"),
        ([], Options, "expected an object for Options, got an array"),
        ({}, Options, r"required field missing @ \$\.size"),
        (True, Literal[1], "expected one of 1, got true"),
        (1.0, Literal[1], "expected one of 1, got 1.0"),
        (None, Item, "expected an object for Item, got null"),
        ("x", int | None, "expected int, got text 'x'"),
        ([], int | str, r"expected int or str, got an array"),
        ({"kind": "cow"}, Cat | Dog, "expected an object with the fields of Cat or Dog"),
        ([], Cat | Dog, "expected an object with the fields of Cat or Dog"),
        ({"count": 0}, Positive, "'count' must be > 0"),
    ],
    ids=str,
)
def test_anything_else_is_refused_with_what_was_expected(
    value: Any, annotation: Any, message: str
) -> None:
    with pytest.raises(PayloadError, match=message):
        structure(value, annotation)


def test_every_bad_field_is_named_by_its_path() -> None:
    payload = {"items": [{"name": 5}, {"name": "x", "weight": "heavy"}], "owner": 1}

    with pytest.raises(PayloadError) as caught:
        structure({"a": payload}, dict[str, Crate])

    assert str(caught.value) == (
        "the payload is not a valid dict[str, Crate]: "
        "expected str, got 5 @ $['a'].items[0].name; "
        "expected float, got text 'heavy' @ $['a'].items[1].weight; "
        "expected str, got 1 @ $['a'].owner"
    )


def test_only_the_first_bad_fields_are_listed() -> None:
    with pytest.raises(PayloadError, match=r"@ \$\[4\]; and 95 more$"):
        structure(["x"] * 100, list[int])


def test_missing_field_is_named() -> None:
    with pytest.raises(PayloadError, match=r"not a valid Item: required field missing @ \$\.name"):
        structure({}, Item)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (5.5, 5.5),
        (True, True),
        ("2024-05-06", date(2024, 5, 6)),
        ("other", "other"),
        ({"name": "x"}, Item("x")),
        ({"no": "item"}, {"no": "item"}),
        ([1], [1]),
        (None, None),
    ],
)
def test_most_exact_member_of_a_union_gets_the_value(value: Any, expected: Any) -> None:
    annotation = str | dict[str, str] | list[int] | date | Item | float | int | bool | None

    result = structure(value, annotation)

    assert result == expected
    assert type(result) is type(expected)


def test_every_member_of_a_union_is_named_if_none_takes_the_value() -> None:
    with pytest.raises(PayloadError, match=r"expected int or Color or Literal\['x'\] or None"):
        structure("green", int | Color | Literal["x"] | None)


def test_unknown_fields_are_refused_if_the_converter_says_so() -> None:
    converter = make_converter(forbid_extra_keys=True)

    for annotation in (Item, Options):
        with pytest.raises(PayloadError, match="more"):
            structure({"name": "x", "size": 1, "more": 1}, annotation, converter=converter)


def test_typing_spellings_mean_the_same() -> None:
    annotation = Dict[str, List[Optional[Union[int, Item]]]]  # noqa: UP006, UP007, UP045

    assert structure({"a": [None, 1, {"name": "x"}]}, annotation) == {"a": [None, 1, Item("x")]}
    with pytest.raises(PayloadError):
        structure({"a": "text"}, annotation)


def test_field_of_the_only_class_in_a_union_is_named() -> None:
    with pytest.raises(PayloadError, match=r"expected str, got 5 @ \$\.name"):
        structure({"name": 5}, Item | int | str)


def test_deep_payload_is_a_payload_error() -> None:
    payload: dict[str, Any] = {"value": 1}
    for _ in range(100_000):
        payload = {"value": 1, "children": [payload]}

    with pytest.raises(PayloadError, match="it is nested too deeply"):
        structure(payload, Node)


@pytest.mark.parametrize(
    "annotation",
    [Foreign, list[Foreign], Foreign | None, "Item", Page[Foreign], Item | Crate | Foreign],
)
def test_annotation_that_nothing_fits_is_found_before_a_payload_comes(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match="no payload can be read as"):
        check_annotation(annotation)
    with pytest.raises(ConfigurationError, match="no payload can be read as"):
        structure({}, annotation)


@pytest.mark.parametrize("annotation", [None, Any, dict, str, bytes, int, Item, list[Item]])
def test_annotation_that_can_be_read_passes(annotation: Any) -> None:
    check_annotation(annotation)


def test_converter_takes_hooks_of_its_own() -> None:
    converter = make_converter()
    converter.register_structure_hook(Foreign, lambda value, _: value * 2)

    assert structure([1, 2], list[Foreign], converter=converter) == [2, 4]


def test_copy_of_a_converter_is_as_strict() -> None:
    converter = make_converter().copy()
    converter.register_structure_hook(Foreign, lambda value, _: value)

    assert structure([None, 1], list[Foreign | None], converter=converter) == [None, 1]
    with pytest.raises(PayloadError):
        structure("5", int | None, converter=converter)


def test_objects_become_plain_data() -> None:
    assert unstructure(Crate([Item("x", 2.5)], "me")) == {
        "items": [{"name": "x", "weight": 2.5}],
        "owner": "me",
    }
    assert unstructure([Color.RED, Name.ADA, Level.HIGH, {2, 1}, b"a", Decimal("1.0")]) == [
        "red",
        "ada",
        2,
        [1, 2],
        {"type": "Buffer", "data": [97]},
        "1.0",
    ]


def test_what_cannot_become_plain_data_is_a_payload_error() -> None:
    far_east = timezone(timedelta(hours=9))

    with pytest.raises(PayloadError, match="an object of list cannot become plain data"):
        unstructure([datetime.min.replace(tzinfo=far_east)])
