"""How large the scenarios are: ``KAFKA_PATTERNS_RELIABILITY`` is ``small`` or ``full``."""

from __future__ import annotations

import os

import attrs
import pytest

__all__ = ["Scale", "chosen_scale"]

_VARIABLE = "KAFKA_PATTERNS_RELIABILITY"


@attrs.frozen(kw_only=True)
class Scale:
    """Sizes; those called ``_seconds`` are seconds.

    :param kills: of a worker, mid-handler.
    :param outage_seconds: how long a broker is away.
    :param broker_kills: how many of three brokers are killed, one after the other.
    :param long_handler_seconds: more than ``max_poll_interval_ms``.
    :param joins: of a second worker, each followed by its leaving.
    :param large_messages: of 10 MB each.
    :param failing_backlog: records of which some fail, some always, and some are poison.
    :param backlog: records waiting when the worker starts.
    :param memory_seconds: how long the memory of a worker is watched, after its warm-up.
    :param cycles: of start and stop in one process.
    :param callers: client processes that stay while others come and go.
    :param caller_threads: in each of them.
    :param caller_joins: of clients, each followed by its leaving.
    :param caller_kills: of a client, with requests in flight.
    :param topic_deletions: of a reply topic that is in use.
    :param lies: late answers of a server that answers in all the wrong ways in turn.
    :param nest_joins: of a NestJS instance, each followed by its leaving.
    :param rebalance_rounds: of joins under measurement, and of the control run.
    """

    kills: int
    outage_seconds: float
    broker_kills: int
    long_handler_seconds: float
    max_poll_interval_ms: int
    joins: int
    large_messages: int
    failing_backlog: int
    backlog: int
    warm_up_seconds: float
    memory_seconds: float
    cycles: int
    callers: int
    caller_threads: int
    caller_joins: int
    caller_kills: int
    topic_deletions: int
    lies: int
    nest_joins: int
    rebalance_rounds: int


_SCALES = {
    "small": Scale(
        kills=3,
        outage_seconds=8,
        broker_kills=1,
        long_handler_seconds=12,
        max_poll_interval_ms=6_000,
        joins=4,
        large_messages=6,
        failing_backlog=1_000,
        backlog=50_000,
        warm_up_seconds=3,
        memory_seconds=15,
        cycles=15,
        callers=2,
        caller_threads=10,
        caller_joins=3,
        caller_kills=1,
        topic_deletions=1,
        lies=20,
        nest_joins=1,
        rebalance_rounds=1,
    ),
    "full": Scale(
        kills=20,
        outage_seconds=30,
        broker_kills=3,
        long_handler_seconds=60,
        max_poll_interval_ms=10_000,
        joins=20,
        large_messages=30,
        failing_backlog=20_000,
        backlog=500_000,
        warm_up_seconds=15,
        memory_seconds=60,
        cycles=100,
        callers=4,
        caller_threads=50,
        caller_joins=20,
        caller_kills=5,
        topic_deletions=5,
        lies=200,
        nest_joins=5,
        rebalance_rounds=10,
    ),
}


def chosen_scale() -> Scale:
    """The scale that the environment asks for; full by default."""
    name = os.environ.get(_VARIABLE, "full")
    if name not in _SCALES:
        raise pytest.UsageError(f"{_VARIABLE} is {name!r}; it may be {' or '.join(_SCALES)}")
    return _SCALES[name]
