"""The books of a server: what it was given to read, what it holds, what is finished."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import NamedTuple

import attrs

from kafka_patterns.consuming.offset_map import decode_runs, encode_runs
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.offsets import OffsetTracker
from kafka_patterns.transport.base import Room

__all__ = ["AssignedPartition", "Ledger", "Released"]

_PLENTY = 1_000_000_000


@attrs.define(eq=False)
class AssignedPartition:
    """One partition for as long as this member holds it without a break: one epoch.

    The object is the epoch: whatever still refers to one that was given up is stale.
    """

    partition: TopicPartition
    tracker: OffsetTracker
    committed: OffsetAndMetadata
    lost: bool = False
    held: int = 0
    refused: bool = False


class Released(NamedTuple):
    """What the release of a record leads to.

    :param makes_room: whether partitions waited for the room this made.
    :param finished: how many records have been finished since the last commit.
    """

    makes_room: bool
    finished: int


class Ledger:
    """All assigned partitions, and the bounds on what is held of them.

    :param max_in_flight: records that may be held at once, shared fairly by the partitions.
    :param max_in_flight_bytes: bytes of key and value that may be held at once.
    """

    def __init__(self, max_in_flight: int, max_in_flight_bytes: int) -> None:
        self._max_in_flight = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._lock = threading.Lock()  # guards everything below, and the partitions in it
        self._partitions: dict[TopicPartition, AssignedPartition] = {}
        self._bytes = 0
        self._refused = 0  # how many of the partitions are
        self._finished_since_commit = 0

    def open(self, partition: TopicPartition, committed: OffsetAndMetadata) -> AssignedPartition:
        """Begin a new epoch of *partition* at the *committed* offset.

        What the commit's metadata says to be finished is not delivered again.
        """
        runs = decode_runs(*committed)
        tracker = OffsetTracker(committed.offset, runs)
        assigned = AssignedPartition(partition, tracker, committed)
        with self._lock:
            self._partitions[partition] = assigned
        return assigned

    def close(self, partitions: Collection[TopicPartition]) -> list[AssignedPartition]:
        """End the epoch of *partitions*; returns those that were open."""
        closed = []
        with self._lock:
            for partition in partitions:
                assigned = self._partitions.pop(partition, None)
                if assigned is not None:
                    assigned.lost = True
                    self._refused -= assigned.refused
                    closed.append(assigned)
        return closed

    @property
    def partitions(self) -> Collection[TopicPartition]:
        """The partitions that are open."""
        with self._lock:
            return list(self._partitions)

    def room(self, assigned: AssignedPartition) -> Room:
        """How much more of a partition may be held. A stale epoch takes all, to be dropped.

        Once full, a partition has no room until half of it was worked off: it is not read
        record by record.
        """
        with self._lock:
            if assigned.lost:
                return Room(_PLENTY, _PLENTY)
            if assigned.refused:
                return Room(0, 0)
            room = Room(self._quota() - assigned.held, self._max_bytes - self._bytes)
            if room.records <= 0 or room.bytes <= 0:
                assigned.refused = True
                self._refused += 1
                return Room(0, 0)
            return room

    def accept(self, assigned: AssignedPartition, records: list[Record]) -> list[Record]:
        """Hold *records*; returns those that are new, none for a stale epoch."""
        with self._lock:
            if assigned.lost:
                return []
            new = [record for record in records if assigned.tracker.deliver(record.offset)]
            assigned.held += len(new)
            self._bytes += sum(record.size for record in new)
            return new

    def passed(self, assigned: AssignedPartition, offset: int) -> None:
        """There is no record below *offset* that was not delivered."""
        with self._lock:
            assigned.tracker.skip_to(offset)

    def _quota(self) -> int:
        return max(1, self._max_in_flight // max(1, len(self._partitions)))

    def finish(self, assigned: AssignedPartition, record: Record) -> int:
        """*record* is finished; returns how many have been since the last commit."""
        with self._lock:
            self._finish(assigned, record)
            return self._finished_since_commit

    def _finish(self, assigned: AssignedPartition, record: Record) -> None:
        if not assigned.lost:
            assigned.tracker.finish(record.offset)
            self._finished_since_commit += 1

    def release(self, assigned: AssignedPartition, record: Record, *, finished: bool) -> Released:
        """*record* is held no longer.

        :param finished: whether it is finished as well.
        """
        with self._lock:
            if finished:
                self._finish(assigned, record)
            assigned.held -= 1
            self._bytes -= record.size
            makes_room = self._refused > 0 and self._admit()
            return Released(makes_room, self._finished_since_commit)

    def _admit(self) -> bool:
        """Give room to those that were refused, if there is enough; whether any got some."""
        if self._bytes > self._max_bytes // 2:
            return False
        half = self._quota() // 2
        ready = [p for p in self._partitions.values() if p.refused and p.held <= half]
        for assigned in ready:
            assigned.refused = False
        self._refused -= len(ready)
        return bool(ready)

    def committable(self) -> dict[AssignedPartition, OffsetAndMetadata]:
        """The positions, with what is finished behind them, that changed since the last commit."""
        with self._lock:
            self._finished_since_commit = 0
            changed = {}
            for assigned in self._partitions.values():
                position = assigned.tracker.position
                runs = encode_runs(position, assigned.tracker.finished_runs())
                committable = OffsetAndMetadata(position, runs)
                if committable != assigned.committed:
                    changed[assigned] = committable
            return changed

    def committed(self, offsets: Mapping[AssignedPartition, OffsetAndMetadata]) -> None:
        """The broker took *offsets*."""
        with self._lock:
            for assigned, committed in offsets.items():
                assigned.committed = committed

    def positions(self) -> dict[TopicPartition, int]:
        """Up to where each open partition is finished."""
        with self._lock:
            return {tp: assigned.tracker.position for tp, assigned in self._partitions.items()}

    @property
    def held(self) -> int:
        """Records held: queued, running, or waiting for their reply's acknowledgement."""
        with self._lock:
            return sum(assigned.held for assigned in self._partitions.values())
