"""Memory and threads stay flat."""

from __future__ import annotations

import statistics
from collections import defaultdict

from tests.chaos.history import History, Usage

__all__ = ["check_resources"]

_WARM_UP_SECONDS = 15.0
_SPAN_SECONDS = 10.0
"""Of samples at the beginning and at the end that are compared."""

_MOST_GROWTH_BYTES = 60_000_000
_MOST_THREADS_MORE = 6
"""A thread that ends a connection or a generation may live beside its successor."""


def check_resources(history: History) -> list[str]:
    """Processes that grew from their warm-up to their end."""
    # What a process needs it has when it has been connected for a while.
    connected_at: dict[int, float] = {}
    for change in history.statuses:
        if change.status == "connected":
            connected_at.setdefault(change.pid, change.at)
    by_process: defaultdict[int, list[Usage]] = defaultdict(list)
    for usage in history.usages:
        if usage.at >= connected_at.get(usage.pid, float("inf")):
            by_process[usage.pid].append(usage)
    found = []
    for pid, usages in by_process.items():
        warm_at = usages[0].at + _WARM_UP_SECONDS
        first = [one for one in usages if warm_at <= one.at < warm_at + _SPAN_SECONDS]
        last = [one for one in usages if one.at > usages[-1].at - _SPAN_SECONDS]
        if not first or last[0].at <= first[-1].at:
            continue  # it did not live long enough
        grown = _median(last, "resident") - _median(first, "resident")
        if grown > _MOST_GROWTH_BYTES:
            found.append(f"process {pid} grew by {grown / 1e6:.0f} MB")
        more = _median(last, "threads") - max(one.threads for one in first)
        if more > _MOST_THREADS_MORE:
            found.append(f"process {pid} has {more:.0f} threads more")
    return found


def _median(usages: list[Usage], name: str) -> float:
    return statistics.median(getattr(usage, name) for usage in usages)
