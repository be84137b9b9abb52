"""``connected`` only while work goes on; and no process ends that nobody ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import Died, History, Partition, Produced, record_of
from tests.reliability.journal import STARTED

__all__ = ["STALL_SECONDS", "check_statuses"]

STALL_SECONDS = 30.0
"""So long a partition may stand without a fault: a session, a rebalance, a backoff."""

Span = tuple[float, float]


def check_statuses(history: History) -> list[str]:
    """Processes that ended by themselves, and waiting partitions that nobody speaks of."""
    found = [
        f"{died.name} ({died.pid}) ended by itself at {died.at:.3f} with code {died.code}"
        for died in history.deaths
        if not died.meant and not _could_not_begin(history, died)
    ]
    for partition, standing in _standing(history):
        for began, ended in _without(standing, history.disturbances + _troubles(history)):
            if ended - began > STALL_SECONDS:
                found.append(
                    f"{partition} stood for {ended - began:.1f} s from {began:.3f} on; "
                    "no fault was left and all were connected"
                )
    return found


def _could_not_begin(history: History, died: Died) -> bool:
    """Whether it never got as far as to be connected, for a fault was under way meanwhile."""
    if any(change.pid == died.pid and change.status == "connected" for change in history.statuses):
        return False
    return any(began < died.at and ended > died.began for began, ended in history.disturbances)


def _standing(history: History) -> Iterator[tuple[Partition, Span]]:
    """When something waited in a partition and nothing began there."""
    starts: defaultdict[Partition, list[float]] = defaultdict(list)
    first_start: dict[object, float] = {}
    for entry in sorted(history.entries, key=lambda entry: entry.at):
        if entry.event == STARTED:
            starts[entry.position[:2]].append(entry.at)
            first_start.setdefault(record_of(entry), entry.at)
    written: defaultdict[Partition, list[Produced]] = defaultdict(list)
    for produced in history.produced:
        if produced.record not in history.poison and not history.is_gone(produced):
            written[produced.position[:2]].append(produced)
    for partition, records in written.items():
        moments = [*starts[partition], history.ended_at]
        for began, ended in zip([0.0, *moments], moments, strict=False):
            if ended - began <= STALL_SECONDS:
                continue
            waiting = [
                max(began, record.acknowledged_at)
                for record in records
                if record.acknowledged_at < ended
                and first_start.get(record.record, float("inf")) >= ended
            ]
            if waiting and ended - min(waiting) > STALL_SECONDS:
                yield partition, (min(waiting), ended)


def _troubles(history: History) -> list[Span]:
    """When a process said that something is wrong."""
    spans = []
    open_since: dict[int, float] = {}
    for change in history.statuses:
        if change.status == "connected":
            if change.pid in open_since:
                spans.append((open_since.pop(change.pid), change.at))
        else:
            open_since.setdefault(change.pid, change.at)
    died_at = {died.pid: died.at for died in history.deaths}
    spans += [(since, died_at.get(pid, history.ended_at)) for pid, since in open_since.items()]
    return spans


def _without(span: Span, taken: list[Span]) -> Iterator[Span]:
    """The parts of *span* that none of *taken* covers."""
    began, ended = span
    for other_began, other_ended in sorted(taken):
        if other_ended <= began or other_began >= ended:
            continue
        if other_began > began:
            yield began, other_began
        began = max(began, other_ended)
    if began < ended:
        yield began, ended
