"""How long to wait between two deliveries. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from kafka_patterns.errors import ConfigurationError

__all__ = ["Backoff", "ExponentialBackoff", "FixedBackoff", "exponential", "fixed"]

Backoff = Callable[[int], float]
"""The seconds to wait after so many failed deliveries, from 1."""

_LARGEST_EXPONENT = 64


@attrs.frozen
class ExponentialBackoff:
    """Waits that grow from try to try, each shortened or lengthened by chance.

    :param initial: seconds after the first failure.
    :param maximum: seconds at most, before chance is applied.
    :param multiplier: growth from one wait to the next.
    :param jitter: the share by which a wait may differ, so that many do not retry at once.
    :raises ConfigurationError: for a number that makes no wait.
    """

    initial: float
    maximum: float
    multiplier: float = 2.0
    jitter: float = 0.2

    def __attrs_post_init__(self) -> None:
        _check("initial", self.initial, "a time from 0", holds=self.initial >= 0)
        _check("maximum", self.maximum, "a time from 0", holds=self.maximum >= 0)
        _check("multiplier", self.multiplier, "a number from 1", holds=self.multiplier >= 1)
        _check("jitter", self.jitter, "a share from 0 to 1", holds=0 <= self.jitter <= 1)

    def __call__(self, failures: int) -> float:
        exponent = min(max(failures, 1) - 1, _LARGEST_EXPONENT)
        wait = min(self.initial * self.multiplier**exponent, self.maximum)
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)


@attrs.frozen
class FixedBackoff:
    """The same wait after each failure.

    :param seconds: how long.
    :raises ConfigurationError: if it is no time.
    """

    seconds: float

    def __attrs_post_init__(self) -> None:
        _check("seconds", self.seconds, "a time from 0", holds=self.seconds >= 0)

    def __call__(self, failures: int) -> float:
        return self.seconds


def exponential(
    initial: float, *, maximum: float = 30.0, multiplier: float = 2.0, jitter: float = 0.2
) -> Backoff:
    """Waits of *initial* seconds, then *multiplier* times as much each time, up to *maximum*.

    :param jitter: the share by which each wait is shortened or lengthened by chance.
    :raises ConfigurationError: for a number that makes no wait.
    """
    return ExponentialBackoff(initial, maximum, multiplier, jitter)


def fixed(seconds: float) -> Backoff:
    """Waits of *seconds* each.

    :raises ConfigurationError: if it is no time.
    """
    return FixedBackoff(seconds)


def _check(name: str, value: object, wanted: str, *, holds: bool) -> None:
    if not holds:
        raise ConfigurationError(f"backoff: {name} is {value!r}; it must be {wanted}")
