"""How long a request waits that a handler sends."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.consuming.inherited import (
    CLOCK_SKEW_SECONDS,
    Patience,
    inherited_deadline,
    patience_for,
)

TIMES = st.floats(0, 1e6, allow_nan=False)


@given(TIMES, TIMES)
def test_without_a_caller_the_timeout_is_all(timeout, now) -> None:
    assert Patience.until(timeout, None, now) == Patience(timeout, now + timeout)


@given(TIMES, TIMES, TIMES)
def test_nobody_waits_longer_than_asked_or_than_the_caller(timeout, deadline, now) -> None:
    patience = Patience.until(timeout, deadline, now)

    assert patience.seconds <= timeout
    assert patience.seconds <= deadline + CLOCK_SKEW_SECONDS - now
    assert patience.seconds in (timeout, deadline + CLOCK_SKEW_SECONDS - now)


@given(TIMES, TIMES, TIMES)
def test_the_tolerance_for_clocks_does_not_add_up_over_services(timeout, deadline, now) -> None:
    assert Patience.until(timeout, deadline, now).deadline <= deadline


def test_what_is_sent_inside_inherits() -> None:
    deadline = time.time() + 30
    with inherited_deadline(deadline):
        inside, not_inherited = patience_for(60, inherit=True), patience_for(60, inherit=False)
        with inherited_deadline(None):
            unbounded = patience_for(60, inherit=True)
    outside = patience_for(60, inherit=True)

    assert 15 < inside.seconds <= 31
    assert inside.deadline == deadline
    assert not_inherited.seconds == unbounded.seconds == outside.seconds == 60


def test_other_threads_do_not_inherit() -> None:
    found: list[float] = []
    with inherited_deadline(time.time()):
        thread = threading.Thread(
            target=lambda: found.append(patience_for(60, inherit=True).seconds)
        )
        thread.start()
        thread.join()

    assert found == [60]


def test_an_error_ends_the_inheritance() -> None:
    with pytest.raises(ValueError, match="of the handler"), inherited_deadline(0.0):
        raise ValueError("of the handler")

    assert patience_for(60, inherit=True).seconds == 60
