"""How long replies took: fixed buckets, and quantiles that are never too low."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.client.histogram import BOUNDS, Histogram, bucket_of

SECONDS = st.floats(0, 200, allow_nan=False)


def of(durations: list[float]) -> Histogram:
    counts = [0] * (len(BOUNDS) + 1)
    for seconds in durations:
        counts[bucket_of(seconds)] += 1
    return Histogram(tuple(counts), math.fsum(durations))


def test_bounds_double_from_a_millisecond_to_a_minute() -> None:
    assert BOUNDS[0] == 0.001
    assert BOUNDS[-1] == 65.536
    assert all(upper == 2 * lower for lower, upper in itertools.pairwise(BOUNDS))


def test_nothing_measured_has_no_quantile() -> None:
    assert Histogram().count == 0
    assert Histogram().quantile(0.5) is None


def test_a_bucket_contains_its_upper_bound() -> None:
    assert of([0.0, 0.001, 0.0011, 65.536, 65.6]).counts == (2, 1, *(0,) * 14, 1, 1)


@given(st.lists(SECONDS, min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_the_upper_bound_of_its_bucket(durations, fraction) -> None:
    quantile = of(durations).quantile(fraction)

    assert quantile is not None
    exact = sorted(durations)[math.ceil(fraction * len(durations)) - 1]
    assert exact <= quantile
    assert quantile <= max(2 * exact, BOUNDS[0]) or exact > BOUNDS[-1]
