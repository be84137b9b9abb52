"""Opening what the group assigned: where to begin, committed before the first record."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping

from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.errors import CommitFailed, NotAuthorized, TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.server.assignor import NO_CLAIM, Claim
from kafka_patterns.server.ledger import Ledger
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.transport.base import EARLIEST, LATEST, Admin
from kafka_patterns.transport.group import Assignment, Member

__all__ = ["Assignments"]

logger = logging.getLogger("kafka_patterns.assignments")

_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_FORBIDDEN_RETRY_SECONDS = 2.0


class Assignments:
    """The partitions this member was assigned, and those that are open. Membership's thread.

    :param from_beginning: where a group begins that never committed.
    :param announces: whether it is committed that work begins; not over what a user commits.
    """

    def __init__(
        self,
        ledger: Ledger,
        admin: Admin,
        fetcher: Fetcher,
        *,
        from_beginning: bool,
        announces: bool = True,
    ) -> None:
        self._ledger = ledger
        self._admin = admin
        self._fetcher = fetcher
        self._first = EARLIEST if from_beginning else LATEST
        self._announces = announces
        self._existed: dict[str, Collection[int]] = {}
        self._looked: set[str] = set()
        self._current: Assignment | None = None
        self._retry_at = 0.0
        self._ask_again_at = 0.0
        self._forbidden: dict[TopicPartition, StalledPartition] = {}  # replaced as a whole

    def existed(self, partitions: Mapping[str, Collection[int]]) -> None:
        """These existed when the group came, by topic: all in others of the topic is for it."""
        self._existed.update(partitions)

    def look_first(self, member: Member) -> None:
        """Before a join: of which topics the group has commits, and so came earlier than this.

        Later this might tell nothing: when several members start a new group at the same time,
        the first of them commits while the others have yet to open their share.
        """
        try:
            self._look(member, self._existed)
        except TransportError as error:
            logger.info("looking for earlier commits again once they are needed: %s", error)

    def _look(self, member: Member, topics: Iterable[str]) -> None:
        unknown = set() if self._first == EARLIEST else set(topics) - self._looked
        partitions = [TopicPartition(t, p) for t in unknown for p in self._existed.get(t, ())]
        committed = member.committed(partitions, _ANSWER_SECONDS) if partitions else {}
        known = {partition.topic for partition, entry in committed.items() if entry is not None}
        self.existed(dict.fromkeys(known, ()))
        self._looked |= unknown

    def set(self, assignment: Assignment) -> None:
        """The group decided."""
        self._current = assignment
        self._retry_at = 0.0

    def forget(self) -> None:
        """This member has nothing until the group decides anew."""
        self._current = None
        self._forbidden = {}

    def kept_by(self, assignment: Assignment) -> frozenset[TopicPartition]:
        """What this member has without a break if *assignment* comes now."""
        if self._current is None or not assignment.follows(self._current):
            return frozenset()
        return self._current.partitions & assignment.partitions

    @property
    def claim(self) -> Claim:
        """What the group gave this member last, for the leader of the next generation."""
        current = self._current
        return NO_CLAIM if current is None else Claim(current.generation, current.partitions)

    @property
    def complete(self) -> bool:
        """Whether the group decided and everything it assigned, and that may be, is read."""
        current = self._current
        return current is not None and self._forbidden.keys() >= set(self._missing(current))

    def _missing(self, assignment: Assignment) -> Collection[TopicPartition]:
        return assignment.partitions.difference(self._ledger.partitions)

    def open_missing(self, member: Member) -> bool:
        """Open what is assigned and not open; what cannot be opened now is tried again.

        :returns: whether something was opened, so that a commit is due.
        """
        missing = () if self._current is None else self._missing(self._current)
        if not missing:
            self._forbidden = {}
        if not missing or time.monotonic() < self._retry_at:
            return False
        starts = self._starts_of_all(member, sorted(missing))
        for partition, start in starts.items():
            assigned = self._ledger.open(partition, start, announced=self._announces)
            self._fetcher.assign(partition, start.offset, token=assigned)
        if len(starts) < len(missing):
            seconds = _FORBIDDEN_RETRY_SECONDS if self._forbidden else _RETRY_SECONDS
            self._retry_at = time.monotonic() + seconds
        return bool(starts)

    def _starts_of_all(
        self, member: Member, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """Where to begin, of those that can be opened now; a forbidden topic is no other's harm."""
        by_topic: dict[str, list[TopicPartition]] = {}
        for partition in partitions:
            by_topic.setdefault(partition.topic, []).append(partition)
        parts = list(by_topic.values()) if self._forbidden else [partitions]
        forbidden: dict[TopicPartition, StalledPartition] = {}
        starts: dict[TopicPartition, OffsetAndMetadata] = {}
        while parts:
            part = parts.pop()
            try:
                starts.update(self._starts(member, part))
            except (NotAuthorized, CommitFailed) as error:
                topics = {partition.topic for partition in part}
                if len(topics) > 1:
                    parts += [by_topic[topic] for topic in topics]
                elif isinstance(error, NotAuthorized) or error.forbidden:
                    forbidden.update({tp: self._stalled(tp, str(error)) for tp in part})
                else:
                    self._warn(error)
            except TransportError as error:
                self._warn(error)
        self._tell_forbidden(forbidden)
        return starts

    def _warn(self, error: TransportError) -> None:
        logger.warning("partitions are not open yet, trying again: %s", error)

    def _stalled(self, partition: TopicPartition, reason: str) -> StalledPartition:
        before = self._forbidden.get(partition)
        since = time.time() if before is None else before.since
        return StalledPartition(*partition, None, since, reason, is_forbidden=True)

    def _tell_forbidden(self, forbidden: Mapping[TopicPartition, StalledPartition]) -> None:
        for reason in {forbidden[tp].reason for tp in forbidden.keys() - self._forbidden.keys()}:
            logger.warning("partitions are not opened while others are: %s", reason)
        self._forbidden = dict(forbidden)

    def stalled(self) -> Collection[StalledPartition]:
        """From any thread: the assigned partitions that cannot be opened for a missing right."""
        return tuple(self._forbidden.values())

    def settle_doubts(self, member: Member) -> None:
        """Ask which of the logs that were away for a while are others by now.

        The group's offsets go with their topic. What has none any more was made anew, while we
        were here: it is read from its beginning.
        """
        doubted = {assigned.partition: assigned for assigned in self._ledger.doubted}
        if not doubted or time.monotonic() < self._ask_again_at:
            return
        try:
            committed = member.committed(doubted, _ANSWER_SECONDS)
            anew = {tp: EARLIEST for tp in doubted if committed[tp] is None}
            first = self._admin.offsets(anew, _ANSWER_SECONDS) if anew else {}
        except TransportError as error:
            logger.warning("partitions may have been made anew, asking again: %s", error)
            self._ask_again_at = time.monotonic() + _RETRY_SECONDS
            return
        if len(first) < len(anew):
            self._ask_again_at = time.monotonic() + _RETRY_SECONDS
        for partition in doubted.keys() - anew:
            self._ledger.trust(doubted[partition])
        for partition, offset in first.items():
            logger.warning("%s was made anew, going on at its beginning", partition)
            self._fetcher.seek(partition, offset, token=doubted[partition])

    def _starts(
        self, member: Member, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """Where to begin: the committed offsets, or else the first ones, committed right now.

        Without that commit a group that begins at the end would begin at a later end after a
        hand-over, and lose what came in between.
        """
        committed = member.committed(partitions, _ANSWER_SECONDS)
        starts = {tp: entry for tp, entry in committed.items() if entry is not None}
        missing = [partition for partition in partitions if partition not in starts]
        self._look(member, {partition.topic for partition in missing})
        new = {tp: EARLIEST if self._is_new(tp) else self._first for tp in missing}
        if new:
            found = self._admin.offsets(new, _ANSWER_SECONDS)
            first = {tp: OffsetAndMetadata(offset) for tp, offset in found.items()}
            if first:
                member.commit_now(first, _ANSWER_SECONDS)
            starts.update(first)
        return starts

    def _is_new(self, partition: TopicPartition) -> bool:
        existed = self._existed.get(partition.topic)
        return existed is not None and partition.partition not in existed
