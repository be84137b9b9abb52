"""Waiting for a fact. The only place in the tests that may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually"]

Result = TypeVar("Result")

_POLL_INTERVAL = 0.01


def eventually(
    predicate: Callable[[], Result],
    timeout: float = 30.0,
    *,
    describe: str | Callable[[], str] = "",
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = AssertionError,
) -> Result:
    """Call *predicate* until what it returns is true, and return that.

    :param predicate: must not block for long.
    :param timeout: seconds after which the test fails.
    :param describe: what is waited for, or a function that tells it when the time is over;
        by default the name of the predicate.
    :param retry_on: exceptions of the predicate that mean "not yet".
    :raises AssertionError: with the last value or exception of the predicate.
    """
    started = time.monotonic()
    while True:
        failure: BaseException | None = None
        try:
            result = predicate()
            if result:
                return result
            seen = f"it returned {result!r}"
        except retry_on as error:
            failure = error
            seen = f"it raised {error!r}"
        waited = time.monotonic() - started
        if waited >= timeout:
            raise AssertionError(
                f"{_description(describe, predicate)} did not become true within {timeout:g} s; "
                f"{seen}"
            ) from failure
        time.sleep(_POLL_INTERVAL)


def _description(describe: str | Callable[[], str], predicate: Callable[[], object]) -> str:
    if callable(describe):
        return describe()
    return describe or getattr(predicate, "__qualname__", repr(predicate))
