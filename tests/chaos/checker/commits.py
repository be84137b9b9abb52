"""Committed offsets never go back, and never pass what is unfinished."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import NOWHERE, History, Partition, Produced, RecordId, Removal, record_of
from tests.reliability.journal import FINISHED

__all__ = ["check_commits"]

_SEEK_GRACE_SECONDS = 5.0
"""So long after a seek its commit may come."""

_REMOVAL_GRACE_SECONDS = 5.0
"""So long after a topic was made again nobody can say which of the two a commit is about."""

Sample = tuple[float, int]


def check_commits(history: History) -> list[str]:
    """What was wrong with commits, as far as samples show it."""
    finished_at = _finished_at(history)
    found = []
    for partition, samples in _samples(history).items():
        for era, since, until in _eras(history, partition):
            of_era = [sample for sample in samples if since <= sample[0] < until]
            found += _steps_back(history, partition, of_era)
            produced = _produced(history, partition, era)
            found += _gaps(partition, of_era, produced, finished_at)
    return found


def _finished_at(history: History) -> dict[RecordId, float]:
    first: dict[RecordId, float] = {}
    for entry in history.entries:
        if entry.event == FINISHED:
            record = record_of(entry)
            first[record] = min(entry.at, first.get(record, entry.at))
    return first


def _samples(history: History) -> dict[Partition, list[Sample]]:
    samples: defaultdict[Partition, list[Sample]] = defaultdict(list)
    for at, offsets in history.committed:
        for partition, offset in offsets.items():
            samples[partition].append((at, offset))
    return samples


def _eras(history: History, partition: Partition) -> Iterator[tuple[int, float, float]]:
    """The times between the removals of the topic, numbered."""
    since = 0.0
    removals = _removals(history, partition)
    for number, removal in enumerate(removals):
        yield number, since, removal.began
        since = removal.ended + _REMOVAL_GRACE_SECONDS
    yield len(removals), since, float("inf")


def _removals(history: History, partition: Partition) -> list[Removal]:
    return [removal for removal in history.removals if removal.topic == partition[0]]


def _produced(history: History, partition: Partition, era: int) -> list[Produced]:
    """What lies in the partition in that era, and can be read."""
    removals = _removals(history, partition)
    began = removals[era - 1].ended if era else 0.0
    ended = removals[era].began if era < len(removals) else float("inf")
    return sorted(
        (
            produced
            for produced in history.produced
            if produced.position[:2] == partition
            and produced.position.offset != NOWHERE
            and began < produced.sent_at
            and produced.acknowledged_at < ended
            and produced.record not in history.poison
        ),
        key=lambda produced: produced.position.offset,
    )


def _steps_back(history: History, partition: Partition, samples: list[Sample]) -> list[str]:
    found = []
    for (_, before), (at, offset) in itertools.pairwise(samples):
        if offset >= before or _was_sought(history, partition, offset, at):
            continue
        # A coordinator that has just taken over shows the commits that all replicas have; those
        # of the last moments come back with the next fetch of its followers.
        if not any(began <= at <= ended for began, ended in history.outages):
            found.append(f"{partition}: from {before} back to {offset} at {at:.3f}")
    return found


def _was_sought(history: History, partition: Partition, offset: int, at: float) -> bool:
    return any(
        seek.partition == partition
        and seek.offset <= offset
        and seek.began <= at <= seek.ended + _SEEK_GRACE_SECONDS
        for seek in history.seeks
    )


def _gaps(
    partition: Partition,
    samples: list[Sample],
    produced: list[Produced],
    finished_at: dict[RecordId, float],
) -> list[str]:
    found = []
    checked = 0
    for at, offset in samples:
        while checked < len(produced) and produced[checked].position.offset < offset:
            record = produced[checked].record
            if finished_at.get(record, float("inf")) > at:
                place = produced[checked].position.offset
                found.append(f"{partition}: {offset} at {at:.3f} passes {record} at {place}")
            checked += 1
    return found
