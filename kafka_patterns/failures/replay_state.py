"""What was replayed of a dead letter topic, as a run finds it, changes it and commits it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping

from kafka_patterns.consuming.ranges import RangeReader
from kafka_patterns.errors import CommitFailed, GroupError
from kafka_patterns.failures.replay_group import ReplayGroup
from kafka_patterns.failures.replay_message import is_replay_of
from kafka_patterns.failures.replay_progress import ReplayProgress
from kafka_patterns.failures.replay_topics import offsets_of
from kafka_patterns.headers import REPLAYED_FROM
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.transport.base import LATEST, Admin, Reader, Transport

__all__ = ["ReplayState"]

logger = logging.getLogger("kafka_patterns.replay")

_SCAN_RECORDS = 1000
_MAX_DIGITS = 19
_ROOM_FOR_A_WINDOW = 512


class ReplayState:
    """The progress of all partitions of a dead letter topic.

    :param firsts: the first offset of each partition.
    :param ends: the offset after the last letter of each partition.
    :param dry_run: whether nothing is committed, nor the group joined.
    :raises GroupError: if another run of the same replay is in the group.
    """

    def __init__(
        self,
        group: ReplayGroup,
        admin: Admin,
        transport: Transport,
        firsts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        *,
        dry_run: bool,
    ) -> None:
        self._group = group
        self._admin = admin
        self._dry_run = dry_run
        self._doubtful = False
        self._in_window = False
        self.keep()
        committed = group.committed(list(firsts))
        self._progress = {
            partition: ReplayProgress.read(committed[partition], first, ends[partition])
            for partition, first in firsts.items()
        }
        self._committed: dict[TopicPartition, OffsetAndMetadata] = {}
        self._ends = ends
        self._recover(transport)

    def keep(self) -> None:
        """Stay in the group.

        :raises GroupError: if another run of the same replay is in the group.
        """
        if not self._dry_run:
            self._group.keep()

    def await_contact(self) -> None:
        """Wait until no other run of the same replay can be sending.

        :raises ReplayLost: if one may have sent meanwhile.
        """
        self._group.await_contact()

    @property
    def is_sole_run(self) -> bool:
        """Whether no other run of the same replay can be sending now. Any thread."""
        return self._group.is_in_contact

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The first letter of each partition that was not replayed."""
        return {partition: progress.position for partition, progress in self._progress.items()}

    def is_replayed(self, record: Record) -> bool:
        """Whether an earlier run replayed *record*."""
        return self._progress[record.topic_partition].is_replayed(record.offset)

    def note(self, record: Record, *, replayed: bool) -> None:
        """What became of *record*; in the order of the offsets."""
        self._progress[record.topic_partition].note(record.offset, replayed=replayed)

    def doubt(self) -> None:
        """A message may have arrived without being noted: the next run shall look for it."""
        self._doubtful = True

    @property
    def full(self) -> list[TopicPartition]:
        """The partitions whose commits have no room for what another window may add."""
        return [tp for tp, progress in self._progress.items() if progress.room < _ROOM_FOR_A_WINDOW]

    def begin_window(self) -> None:
        """Something is about to be sent.

        :raises GroupError: if another run of the same replay is in the group.
        """
        self.keep()
        self._in_window = True

    def end_window(self) -> None:
        """What was sent is noted: commit it.

        :raises CommitFailed: if the broker did not take it.
        """
        if not self._dry_run:
            self._commit()
        self._in_window = False

    def begin_sending_to(self, partitions: Collection[TopicPartition]) -> None:
        """Write down where *partitions* end before the first message goes there.

        :raises CommitFailed: if the broker did not take it.
        """
        ends = offsets_of(self._admin, partitions, LATEST)
        for progress in self._progress.values():
            before = dict(progress.sent_after)
            progress.sent_after = {**ends, **before}
            if progress.room < _ROOM_FOR_A_WINDOW:
                progress.sent_after = before
                logger.warning(
                    "there is no room to write down where the %d partitions end that are sent to: "
                    "if this run is killed, the next one may repeat some messages",
                    len(ends),
                )
        self._commit()

    def finish(self) -> None:
        """The run ends: if all that was sent is noted, the next one need not look for it."""
        if self._dry_run or self._doubtful or self._in_window or not self._forget_sent_after():
            return
        try:
            self._commit()
        except (CommitFailed, GroupError) as error:
            logger.warning("the next run will look for what this one sent: %s", error)

    def _recover(self, transport: Transport) -> None:
        """Note what a run that was killed has sent without noting it."""
        starts: dict[TopicPartition, int] = {}
        for progress in self._progress.values():
            for partition, end in progress.sent_after.items():
                starts[partition] = min(end, starts.get(partition, end))
        if not starts:
            return
        logger.info("an earlier run did not end: looking for what it sent to %s", sorted(starts))
        reader = transport.reader()
        try:
            self._mark_arrived(reader, starts)
        finally:
            reader.close()
        self._forget_sent_after()
        if not self._dry_run:
            self._commit()

    def _mark_arrived(self, reader: Reader, starts: Mapping[TopicPartition, int]) -> None:
        """Anybody may write a message that says it was a letter: only one that is it counts."""
        claims: dict[TopicPartition, dict[int, list[Record]]] = {}
        for record in self._read(reader, starts, offsets_of(self._admin, starts, LATEST)):
            place = self._claimed_letter(record)
            if place is not None:
                claims.setdefault(place[0], {}).setdefault(place[1], []).append(record)
        firsts = {partition: min(claimed) for partition, claimed in claims.items()}
        ends = {partition: max(claimed) + 1 for partition, claimed in claims.items()}
        for letter in self._read(reader, firsts, ends):
            claimed = claims[letter.topic_partition].get(letter.offset, ())
            if any(is_replay_of(record, letter) for record in claimed):
                self._progress[letter.topic_partition].mark(letter.offset)

    def _read(
        self,
        reader: Reader,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> Iterator[Record]:
        scan = RangeReader(reader, self._admin, starts, ends, self.keep)
        while records := scan.read(_SCAN_RECORDS):
            yield from records

    def _claimed_letter(self, record: Record) -> tuple[TopicPartition, int] | None:
        """Which of the letters that may have been sent *record* says it was."""
        trace = (record.header(REPLAYED_FROM) or b"").decode("utf-8", "replace")
        topic, _, place = trace.partition("/")
        number, _, offset = place.partition("/")
        if not all(part.isdecimal() and len(part) <= _MAX_DIGITS for part in (number, offset)):
            return None
        partition = TopicPartition(topic, int(number))
        is_there = partition in self._progress and int(offset) < self._ends[partition]
        return (partition, int(offset)) if is_there else None

    def _forget_sent_after(self) -> bool:
        forgotten = False
        for progress in self._progress.values():
            forgotten = forgotten or bool(progress.sent_after)
            progress.sent_after = {}
        return forgotten

    def _commit(self) -> None:
        changed = {}
        for partition, progress in self._progress.items():
            committable = progress.committable()
            if committable != self._committed.get(partition):
                changed[partition] = committable
        if changed:
            self._group.commit(changed)
            self._committed.update(changed)
