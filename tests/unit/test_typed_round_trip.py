"""What one side sends as an object, the other reads as an equal object."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_patterns.serialization.json import decode, encode_value
from kafka_patterns.serialization.typed import structure, structure_body, unstructure


class Color(enum.Enum):
    RED = "red"
    ONE = 1
    PAIR = (1, "a")


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    where: date | None


class Settings(TypedDict):
    size: int
    colors: list[Color]


@dataclasses.dataclass
class Scalars:
    truth: bool
    whole: int
    real: float
    text: str
    data: bytes
    moment: datetime
    day: date
    clock: time
    price: Decimal
    identifier: UUID
    color: Color
    level: Level
    tag: Literal["a", "b", 3]
    either: int | str | None


@attrs.define
class Tree:
    scalars: Scalars
    point: Point
    settings: Settings
    names: set[str]
    numbers: frozenset[int]
    pair: tuple[int, str]
    many: tuple[float, ...]
    by_number: dict[int, Scalars | None]
    by_identifier: dict[UUID, Decimal]
    other: Point | str | None
    children: list[Tree] = attrs.field(factory=list)


attrs.resolve_types(Tree)  # hypothesis reads the fields of an attrs class unresolved

zones: Any = st.none() | st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-01-01"), timezones=zones
)
clocks = st.times(timezones=zones)
floats = st.floats(allow_nan=False, allow_infinity=False)
prices = st.decimals(allow_nan=False)
scalars = st.builds(
    Scalars,
    real=floats,
    data=st.binary(max_size=5),
    moment=moments,
    clock=clocks,
    price=prices,
)
points = st.builds(Point)


def trees(children: st.SearchStrategy[list[Tree]]) -> st.SearchStrategy[Tree]:
    return st.builds(
        Tree,
        scalars=scalars,
        point=points,
        many=st.lists(floats, max_size=3).map(tuple),
        by_number=st.dictionaries(st.integers(), st.none() | scalars, max_size=2),
        by_identifier=st.dictionaries(st.uuids(), prices, max_size=2),
        other=st.none() | points | st.text(),
        children=children,
    )


all_trees = st.recursive(
    trees(st.just([])), lambda inner: trees(st.lists(inner, max_size=2)), max_leaves=3
)


@given(all_trees)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_object_comes_back_equal(tree: Tree) -> None:
    body = encode_value(tree)

    assert structure_body(body, decode(body), Tree) == tree


@given(all_trees)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_plain_data_is_what_the_bytes_say(tree: Tree) -> None:
    plain = unstructure(tree)

    assert encode_value(plain) == encode_value(tree)
    assert structure(plain, Tree) == tree


@given(st.one_of(moments, st.dates(), clocks, prices, st.uuids(), st.sampled_from(Color)))
def test_scalar_sent_alone_comes_back_equal(value: Any) -> None:
    body = encode_value(value)

    assert structure_body(body, decode(body), type(value)) == value
