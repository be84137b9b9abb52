from __future__ import annotations

import itertools

import pytest

from tests.support.waiting import eventually


def test_returns_the_first_true_value():
    numbers = itertools.count()

    assert eventually(lambda: next(numbers)) == 1


def test_failure_tells_what_was_waited_for_and_seen():
    with pytest.raises(AssertionError, match=r"^ten heroes did not .* 0\.05 s; it returned \[\]"):
        eventually(list, 0.05, describe="ten heroes")


def test_failed_assertion_of_the_predicate_means_not_yet():
    numbers = itertools.count()

    def predicate() -> bool:
        assert next(numbers) == 3
        return True

    assert eventually(predicate)


def test_last_exception_is_the_cause_of_the_failure():
    def predicate() -> bool:
        raise KeyError("hero")

    with pytest.raises(AssertionError, match=r"it raised KeyError\('hero'\)") as failure:
        eventually(predicate, 0.05, retry_on=KeyError)

    assert isinstance(failure.value.__cause__, KeyError)


def test_other_exceptions_pass_through():
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)
