"""What a server does with the group's decisions. In the membership's thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.outage import Outage
from kafka_patterns.errors import CommitFailed, GroupError, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.discovery import Discovery
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.watch import Watch
from kafka_patterns.server.work import WorkItem
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.group import Assignment, CoordinatorSilent, Member

__all__ = ["GroupDecisions"]

logger = logging.getLogger("kafka_patterns.group")

_LAST_COMMIT_SECONDS = 2.0
_MOMENT_SECONDS = 0.02


class GroupDecisions:
    """The membership's owner on the server's side.

    :param rebalance_timeout: seconds that running handlers are given before a rebalance.
    :param flush: waits so many seconds for the replies under way, and says whether they ended.
    :param freed: told of each item that is dropped unworked.
    :param watch: looked at now and then, for handlers that run too long.
    :param fatal: told of an error after which the server must stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        lanes: Lanes[WorkItem],
        committer: Committer,
        assignments: Assignments,
        discovery: Discovery,
        fetcher: Fetcher,
        *,
        group_id: str,
        rebalance_timeout: float,
        stopping: threading.Event,
        set_status: Callable[[KafkaStatus], None],
        flush: Callable[[float], bool],
        freed: Callable[[WorkItem], None],
        watch: Watch,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._ledger = ledger
        self._lanes = lanes
        self._committer = committer
        self._assignments = assignments
        self._discovery = discovery
        self._fetcher = fetcher
        self._group_id = group_id
        self._rebalance_timeout = rebalance_timeout
        self._stopping = stopping
        self._set_status = set_status
        self._flush = flush
        self._freed = freed
        self._watch = watch
        self._fatal = fatal
        self._outage = Outage()
        self._quiet_by: float | None = None  # once a rebalance is announced: how long it waits
        self._is_quiet = False
        self.last_error: BaseException | None = None

    def before_rejoin(self, member: Member) -> bool:
        """Let what runs finish, for a while: what leaves would otherwise run twice."""
        if member.membership_lost:
            self._lose_all()
            self._assignments.look_first(member)
            return True
        self._is_quiet = self._is_quiet or self._quiet_down()
        return self._is_quiet

    def _lose_all(self) -> None:
        """Others may have everything already."""
        if self._ledger.partitions:
            self._set_status(KafkaStatus.REBALANCING)
        self._assignments.forget()
        self._lose(self._ledger.partitions)

    def _quiet_down(self) -> bool:
        """Wait for a moment; whether nothing runs any more, or had its time."""
        if self._quiet_by is None:
            self._set_status(KafkaStatus.REBALANCING)
            self._quiet_by = time.monotonic() + self._rebalance_timeout
            self._lanes.freeze()
        left = self._quiet_by - time.monotonic()
        moment = min(_MOMENT_SECONDS, max(0.0, left))
        if not self._lanes.wait_until_idle(moment):
            what = f"{self._lanes.running} handlers run"
        elif not self._flush(moment):
            what = "replies are under way"
        else:
            return True
        if left > 0:
            return False
        logger.info("a rebalance begins while %s", what)
        return True

    def on_revoked(self, member: Member, *, membership_lost: bool) -> None:
        """Commit what is finished, while the old generation still may."""
        if membership_lost:
            self._lose_all()
            return
        self._ledger.care.handing_over = True
        try:
            self._committer.commit_now(member, self._rebalance_timeout)
        except CommitFailed as error:
            logger.warning("the commit before a rebalance failed: %s", error)

    def on_assigned(self, member: Member, assignment: Assignment) -> None:
        """Give up what left, keep what stayed; the tick opens what came, and lets handlers start.

        Nothing stays if others may have had it since the last assignment.
        """
        logger.info(
            "group %s, generation %d: %s",
            self._group_id,
            assignment.generation,
            sorted(assignment.partitions),
        )
        self._ledger.care.handing_over = False
        self._lose(set(self._ledger.partitions) - self._assignments.kept_by(assignment))
        self._assignments.set(assignment)

    def _lose(self, partitions: Collection[TopicPartition]) -> None:
        closed = self._ledger.close(partitions)
        self._drop_stale()
        for assigned in closed:
            self._fetcher.unassign(assigned.partition)

    def reopen(self, assigned: AssignedPartition, offset: int) -> AssignedPartition:
        """From any thread: a new epoch of the partition begins at *offset*, once it is committed.

        What is queued of the old one is dropped, what runs is stale.
        """
        begun = self._ledger.reopen(assigned, offset)
        self._drop_stale()
        return begun

    def _drop_stale(self) -> None:
        for item in self._lanes.drop(lambda item: item.assigned.lost):
            self._freed(item)

    def on_tick(self, member: Member) -> None:
        self._outage.over()
        if self._quiet_by is not None and not member.rejoin_needed:
            # Also if no rebalance came after all: the one that was announced may be called off.
            self._quiet_by = None
            self._is_quiet = False
            self._lanes.thaw()
        self._watch.warn()
        self._discovery.look_again(member)
        if self._assignments.open_missing(member):
            self._committer.hurry()
        self._assignments.settle_doubts(member)
        # Also with manual commits: what ended without a handler's return is finished as well.
        self._committer.commit_if_due(member)
        if self._assignments.complete and not (self._quiet_by or self._stopping.is_set()):
            self._set_status(KafkaStatus.CONNECTED)

    def on_trouble(self, error: TransportError) -> None:
        lasted = isinstance(error, CoordinatorSilent)
        if self._outage.trouble(time.monotonic(), lasted=lasted) and not self._stopping.is_set():
            self.last_error = error
            logger.warning("group %s: %s", self._group_id, error)
            self._set_status(KafkaStatus.DISCONNECTED)

    def on_crash(self, error: BaseException) -> None:
        self.last_error = error
        self._set_status(KafkaStatus.CRASHED)
        self._assignments.forget()
        self._lose(self._ledger.partitions)
        if isinstance(error, GroupError):
            self._fatal(error)

    def before_leave(self, member: Member) -> None:
        """The last commit; also with manual commits, for those are finished by the user."""
        self._ledger.care.handing_over = True
        try:
            self._committer.commit_now(member, _LAST_COMMIT_SECONDS)
        except CommitFailed as error:
            logger.warning("the last commit failed: %s; messages are delivered again", error)
