"""A partition while this member has it."""

from __future__ import annotations

import attrs

from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.care import EpochCare
from kafka_patterns.server.offsets import OffsetTracker
from kafka_patterns.server.work_notes import WorkNotes, encode_notes

__all__ = ["AssignedPartition"]


@attrs.define(eq=False)
class AssignedPartition:
    """One partition for as long as this member holds it without a break: one epoch.

    The object is the epoch: whatever still refers to one that was given up is stale.

    :param committed: what the group has for it; ``None`` until it has its start.
    :param doubted: whether its log may be another one by now, so that its offsets say nothing.
    :param care: the care taken in this epoch; ``None`` if it tells nobody that it is at work.
    :param barrier: the record that all behind it wait for.
    """

    partition: TopicPartition
    tracker: OffsetTracker
    committed: OffsetAndMetadata | None
    lost: bool = False
    doubted: bool = False
    held: int = 0
    held_bytes: int = 0
    aside: int = 0
    aside_bytes: int = 0
    refused: bool = False
    barrier: Record | None = None
    care: EpochCare | None = None
    # Guards what the handlers of each of its items came to: two that deferred one may end at once.
    handlers_lock: BriefLock = attrs.field(factory=BriefLock, repr=False)

    @property
    def may_deliver(self) -> bool:
        """Whether nothing but its size keeps a record of it from being held."""
        return self.barrier is None and self.committed is not None and not self.doubted

    @property
    def committable(self) -> OffsetAndMetadata:
        """Its position, with what is finished behind it."""
        tracker = self.tracker
        notes = WorkNotes() if self.care is None else self.care.notes(tracker.has_finished)
        runs = tracker.finished_runs()
        text = encode_notes(tracker.position, notes, runs, tracker.leader_epoch)
        return OffsetAndMetadata(tracker.position, text)
