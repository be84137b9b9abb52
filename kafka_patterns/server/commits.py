"""When and what a server commits. Runs in the membership's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from kafka_patterns.errors import CommitFailed
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.transport.group import Member

__all__ = ["Committer"]

logger = logging.getLogger("kafka_patterns.commits")

_ANSWER_SECONDS = 10.0
_RETRY_SECONDS = 0.5


class Committer:
    """Commits the finished prefix of each partition.

    :param interval: seconds between two commits of themselves.
    :param wake: called when a commit lets partitions be delivered that waited for it.
    """

    def __init__(
        self, ledger: Ledger, *, interval: float, group: str, wake: Callable[[], object]
    ) -> None:
        self._ledger = ledger
        self._interval = interval
        self._group = group
        self._wake = wake
        self._last = time.monotonic()
        self._under_way_since: float | None = None
        self._hurried = False

    def hurry(self) -> None:
        """From any thread: the next tick commits, whatever the interval."""
        self._hurried = True

    def commit_if_due(self, member: Member) -> None:
        """Send a commit if it is time, without waiting for the answer."""
        now = time.monotonic()
        since = self._under_way_since
        if since is not None and now - since < _ANSWER_SECONDS:
            return  # one at a time, so that an older one never lands after a newer one
        if not self._hurried and now - self._last < self._interval_now:
            return
        self._hurried = False
        self._last = now
        moved = self._ledger.committable()
        if not moved:
            return
        self._under_way_since = now

        def done(error: Exception | None) -> None:
            self._under_way_since = None
            self._note(moved, error)
            if error is not None:
                logger.warning("group %s: a commit failed, trying again: %s", self._group, error)

        member.commit(_by_partition(moved), done)

    def commit_now(self, member: Member, timeout: float) -> None:
        """Commit and wait for the answer.

        :raises CommitFailed: if it did not succeed within *timeout* seconds.
        """
        moved = self._ledger.committable()
        if moved:
            try:
                member.commit_now(_by_partition(moved), timeout)
            except CommitFailed as error:
                self._note(moved, error)
                raise
            self._note(moved, None)

    @property
    def _interval_now(self) -> float:
        """Seconds until the next try; not long for what is delivered only after it."""
        if self._ledger.awaits_commit:
            return min(_RETRY_SECONDS, self._interval)
        return self._interval

    def _note(
        self, moved: Mapping[AssignedPartition, OffsetAndMetadata], error: Exception | None
    ) -> None:
        """What the broker took; where a topic is forbidden, that is what is of all others."""
        forbidden = error.forbidden if isinstance(error, CommitFailed) else frozenset()
        if error is None or forbidden:
            taken = {a: at for a, at in moved.items() if a.partition.topic not in forbidden}
            if self._ledger.committed(taken):
                self._wake()


def _by_partition(
    moved: dict[AssignedPartition, OffsetAndMetadata],
) -> dict[TopicPartition, OffsetAndMetadata]:
    return {assigned.partition: position for assigned, position in moved.items()}
