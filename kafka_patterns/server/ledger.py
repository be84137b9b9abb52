"""The books of a server: what it was given to read, what it holds, what is finished."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.consuming.offset_map import decode_leader_epoch, decode_runs
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.assigned import AssignedPartition
from kafka_patterns.server.budget import Budget
from kafka_patterns.server.care import Care, EpochCare
from kafka_patterns.server.offsets import OffsetTracker
from kafka_patterns.server.work_notes import WorkNotes, decode_notes
from kafka_patterns.transport.base import Room

__all__ = ["AssignedPartition", "Ledger", "Released"]

_PLENTY = 1_000_000_000


class Released(NamedTuple):
    """What the release of a record leads to.

    :param makes_room: whether partitions waited for the room this made.
    :param finished: how many records have been finished since the last commit.
    """

    makes_room: bool
    finished: int


class Ledger:
    """All assigned partitions, and the bounds on what is held of them.

    :param max_records: records that may be held at once, shared fairly by the partitions.
    :param max_bytes: bytes of key and value that may be held at once, shared alike; the last
        record of each partition may pass its part.
    :param max_waiting: records that may be held beside them, shared alike, while they wait for
        one that is tried again; of bytes half of *max_bytes*.
    :param chunk_bytes: how many of *max_bytes* are kept free for what is fetched of each
        partition and waits for room; half of all at most.
    """

    def __init__(
        self,
        max_records: int,
        max_bytes: int,
        max_waiting: int = 10_000,
        *,
        chunk_bytes: int = 0,
    ) -> None:
        self._max_bytes = max_bytes
        self._chunk_bytes = chunk_bytes
        self._lock = BriefLock()  # guards everything below, and the partitions in it
        self._records = Budget(max_records)
        self._bytes = Budget(max_bytes)
        self._waiting = Budget(max_waiting)
        self._waiting_bytes = Budget(max(1, max_bytes // 2))
        self._partitions: dict[TopicPartition, AssignedPartition] = {}
        self._refused = 0  # how many of the partitions are
        self._finished_since_commit = 0
        self.care = Care()

    def open(
        self, partition: TopicPartition, committed: OffsetAndMetadata, *, announced: bool = False
    ) -> AssignedPartition:
        """Begin a new epoch of *partition* at the *committed* offset.

        What the commit's metadata says to be finished is not delivered again.

        :param announced: whether nothing is delivered before it is committed that work begins.
        """
        notes, runs = decode_notes(*committed)
        tracker = OffsetTracker(
            committed.offset, decode_runs(committed.offset, runs), decode_leader_epoch(runs)
        )
        assigned = AssignedPartition(partition, tracker, committed)
        if announced:
            assigned.committed = None
            assigned.care = EpochCare(self.care, committed.offset, notes)
        with self._lock:
            self._partitions[partition] = assigned
            self._share()
        return assigned

    def reopen(self, assigned: AssignedPartition, offset: int) -> AssignedPartition:
        """Begin a new epoch at *offset*, and deliver nothing before that is committed.

        In one step with the end of the old one, so that nobody finds the partition missing and
        opens it as well.

        :returns: the new epoch; *assigned* itself if it was given up meanwhile.
        """
        begun = AssignedPartition(assigned.partition, OffsetTracker(offset), committed=None)
        if assigned.care is not None:
            begun.care = EpochCare(self.care, offset, WorkNotes())
        with self._lock:
            if assigned.lost:
                return assigned
            self._give_up(assigned)
            self._partitions[assigned.partition] = begun
            self._share()
        return begun

    def _give_up(self, assigned: AssignedPartition) -> None:
        assigned.lost = True
        self._refused -= assigned.refused
        if assigned.care is not None:
            assigned.care.lose()

    def doubt(self, assigned: AssignedPartition) -> None:
        """The log of *assigned* was away for a while, and may be another one now."""
        with self._lock:
            assigned.doubted = True

    def trust(self, assigned: AssignedPartition) -> None:
        """The log of *assigned* is the one it was; its position is committed once more."""
        with self._lock:
            assigned.doubted, assigned.committed = False, None

    @property
    def doubted(self) -> Collection[AssignedPartition]:
        """The open partitions whose log may be another one."""
        with self._lock:
            return [assigned for assigned in self._partitions.values() if assigned.doubted]

    @property
    def awaits_commit(self) -> bool:
        """Whether something is not delivered before a commit."""
        with self._lock:
            return any(assigned.committed is None for assigned in self._partitions.values())

    def _share(self) -> None:
        open_now = self._partitions.values()
        self._records.share_among([assigned.held for assigned in open_now])
        fetched = min(self._max_bytes // 2, self._chunk_bytes * len(open_now))
        self._bytes.share_among(
            [assigned.held_bytes for assigned in open_now], limit=self._max_bytes - fetched
        )
        self._waiting.share_among([assigned.aside for assigned in open_now])
        self._waiting_bytes.share_among([assigned.aside_bytes for assigned in open_now])

    def close(self, partitions: Collection[TopicPartition]) -> list[AssignedPartition]:
        """End the epoch of *partitions*; returns those that were open."""
        closed = []
        with self._lock:
            for partition in partitions:
                assigned = self._partitions.pop(partition, None)
                if assigned is not None:
                    self._give_up(assigned)
                    closed.append(assigned)
            self._share()
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
            if not assigned.may_deliver:
                return self._refuse(assigned)
            room = Room(self._records.left(assigned.held), self._bytes.left(assigned.held_bytes))
            if assigned.aside:
                room = Room(
                    min(room.records, self._waiting.left(assigned.aside)),
                    min(room.bytes, self._waiting_bytes.left(assigned.aside_bytes)),
                )
            if room.records and room.bytes:
                return room
            return self._refuse(assigned)

    def is_full(self, assigned: AssignedPartition) -> bool:
        """Whether no more of a partition may be held until some of it is worked off."""
        with self._lock:
            return assigned.refused

    def _refuse(self, assigned: AssignedPartition) -> Room:
        assigned.refused = True
        self._refused += 1
        return Room(0, 0)

    def bar(self, assigned: AssignedPartition, record: Record) -> None:
        """Hold no more of the partition until *record*, which is held, is released."""
        with self._lock:
            assigned.barrier = record

    def accept(self, assigned: AssignedPartition, records: list[Record]) -> list[Record]:
        """Hold *records*; returns those that are new, none for a stale epoch."""
        with self._lock:
            if assigned.lost:
                return []
            deliver = assigned.tracker.deliver
            new = [record for record in records if deliver(record.offset, record.leader_epoch)]
            self._hold(assigned, len(new), sum(record.held_bytes for record in new))
            return new

    def _hold(self, assigned: AssignedPartition, records: int, size: int) -> None:
        """So many more are held, or fewer."""
        held, held_bytes = assigned.held + records, assigned.held_bytes + size
        if assigned.lost:
            self._records.give_back(-records)
            self._bytes.give_back(-size)
        else:
            self._records.change(assigned.held, held)
            self._bytes.change(assigned.held_bytes, held_bytes)
        assigned.held, assigned.held_bytes = held, held_bytes

    def set_aside(self, held: Iterable[tuple[AssignedPartition, Record]]) -> bool:
        """*held* wait for one that failed; ``True`` if partitions wait for the room this made."""
        with self._lock:
            for assigned, record in held:
                self._hold(assigned, -1, -record.held_bytes)
                self._keep_aside(assigned, 1, record.held_bytes)
            return self._refused > 0 and self._admit()

    def take_back(self, aside: Iterable[tuple[AssignedPartition, Record]]) -> None:
        """*aside* wait no longer; they are held like others again."""
        with self._lock:
            for assigned, record in aside:
                self._keep_aside(assigned, -1, -record.held_bytes)
                self._hold(assigned, 1, record.held_bytes)

    def _keep_aside(self, assigned: AssignedPartition, records: int, size: int) -> None:
        """So many more wait aside, or fewer."""
        aside, aside_bytes = assigned.aside + records, assigned.aside_bytes + size
        if assigned.lost:
            self._waiting.give_back(-records)
            self._waiting_bytes.give_back(-size)
        else:
            self._waiting.change(assigned.aside, aside)
            self._waiting_bytes.change(assigned.aside_bytes, aside_bytes)
        assigned.aside, assigned.aside_bytes = aside, aside_bytes

    def passed(self, assigned: AssignedPartition, offset: int) -> None:
        """There is no record below *offset* that was not delivered."""
        with self._lock:
            assigned.tracker.skip_to(offset)

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
            self._hold(assigned, -1, -record.held_bytes)
            if record is assigned.barrier:
                assigned.barrier = None
            makes_room = self._refused > 0 and self._admit_after(assigned)
            return Released(makes_room, self._finished_since_commit)

    def _admit_after(self, assigned: AssignedPartition) -> bool:
        """*assigned* holds less: where each has its part, that is room for nobody else."""
        if assigned.lost or self._records.is_crowded or self._bytes.is_crowded:
            return self._admit()
        if not assigned.refused or not self._is_half_empty(assigned):
            return False
        assigned.refused = False
        self._refused -= 1
        return True

    def _admit(self) -> bool:
        """Give room to those that were refused, if there is enough; whether any got some."""
        ready = [p for p in self._partitions.values() if p.refused and self._is_half_empty(p)]
        for assigned in ready:
            assigned.refused = False
        self._refused -= len(ready)
        return bool(ready)

    def _is_half_empty(self, assigned: AssignedPartition) -> bool:
        return (
            assigned.may_deliver
            and assigned.held <= self._records.part // 2
            and assigned.held_bytes <= self._bytes.part // 2
            and assigned.aside <= self._waiting.part // 2
            and assigned.aside_bytes <= self._waiting_bytes.part // 2
        )

    def committable(self) -> dict[AssignedPartition, OffsetAndMetadata]:
        """The positions, with what is finished behind them, that changed since the last commit."""
        with self._lock:
            self._finished_since_commit = 0
            trusted = (p for p in self._partitions.values() if not p.doubted)
            positions = {assigned: assigned.committable for assigned in trusted}
            return {p: position for p, position in positions.items() if position != p.committed}

    def committed(self, offsets: Mapping[AssignedPartition, OffsetAndMetadata]) -> bool:
        """The broker took *offsets*; ``True`` if partitions waited for that."""
        with self._lock:
            for assigned, committed in offsets.items():
                assigned.committed = committed
                if assigned.care is not None:
                    assigned.care.committed(*committed)
            return self._refused > 0 and self._admit()

    def positions(self) -> dict[TopicPartition, int]:
        """Up to where each open partition is finished."""
        with self._lock:
            return {tp: assigned.tracker.position for tp, assigned in self._partitions.items()}

    @property
    def held(self) -> int:
        """Records held: queued, running, or waiting for their reply's acknowledgement.

        Those of partitions that left count until their end as well: they take room.
        """
        with self._lock:
            return self._records.held + self._waiting.held
