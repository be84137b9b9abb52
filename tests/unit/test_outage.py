"""A hiccup is no outage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.consuming.outage import Outage


def test_trouble_is_told_once_it_lasted() -> None:
    outage = Outage(grace=1.0)

    assert [outage.trouble(now) for now in (10.0, 10.9, 11.0, 12.0, 99.0)] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_hiccup_starts_the_clock_anew() -> None:
    outage = Outage(grace=1.0)
    outage.trouble(10.0)

    outage.over()

    assert not outage.trouble(11.0)
    assert outage.trouble(12.0)


def test_next_outage_is_told_again() -> None:
    outage = Outage(grace=0.0)
    assert outage.trouble(1.0)

    outage.over()

    assert outage.trouble(2.0)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.booleans())))
def test_told_exactly_once_per_outage(steps) -> None:
    outage, now, since, told = Outage(grace=1.0), 0.0, None, False
    for step, trouble in steps:
        now += step
        if not trouble:
            outage.over()
            since, told = None, False
            continue
        since = now if since is None else since
        expected = not told and now - since >= 1.0
        assert outage.trouble(now) == expected
        told = told or expected


def test_trouble_that_has_lasted_already_is_told_at_once() -> None:
    outage = Outage(grace=1.0)

    assert outage.trouble(10.0, lasted=True)
    assert not outage.trouble(10.1, lasted=True)
    outage.over()
    assert not outage.trouble(20.0)
