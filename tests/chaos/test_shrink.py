from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.shrink import shrink


def test_one_culprit_is_found_alone():
    assert shrink(range(16), lambda parts: 11 in parts, most_tries=100) == [11]


def test_culprits_that_need_each_other_are_found_together():
    assert shrink(range(16), lambda parts: {2, 13} <= set(parts), most_tries=200) == [2, 13]


def test_all_parts_stay_when_none_can_go():
    parts = list(range(5))
    assert shrink(parts, lambda some: some == parts, most_tries=100) == parts


def test_tries_are_bounded():
    asked = []

    def fails(parts):
        asked.append(parts)
        return False

    assert shrink(range(64), fails, most_tries=5) == list(range(64))
    assert len(asked) == 5


@given(st.integers(1, 20), st.data())
def test_what_is_left_fails_and_nothing_of_it_can_go(count, data):
    culprits = data.draw(st.sets(st.integers(0, count - 1), min_size=1))

    def fails(parts):
        return culprits <= set(parts)

    left = shrink(range(count), fails, most_tries=10_000)
    assert left == sorted(culprits)
