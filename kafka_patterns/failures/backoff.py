"""How long to wait between two deliveries. Pure."""

from __future__ import annotations

import random

import attrs

__all__ = ["ExponentialBackoff"]


@attrs.frozen
class ExponentialBackoff:
    """Waits that grow from try to try, each shortened or lengthened by chance.

    :param initial: seconds after the first failure.
    :param maximum: seconds at most.
    :param multiplier: growth from one wait to the next.
    :param jitter: the share by which a wait may differ, so that many do not retry at once.
    """

    initial: float
    maximum: float
    multiplier: float = 2.0
    jitter: float = 0.2

    def seconds(self, failures: int) -> float:
        """The wait after that many failures, from 1."""
        exponent = min(failures - 1, 64)
        wait = min(self.initial * self.multiplier**exponent, self.maximum)
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)
