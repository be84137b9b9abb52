"""The consumer group in which a replay keeps its progress: one run at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping

from kafka_patterns.errors import CommitFailed, GroupError, TransportError
from kafka_patterns.headers import REPLAY_ASSIGNOR_NAME, REPLAY_ASSIGNOR_VERSION
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.transport.base import Transport
from kafka_patterns.transport.group import Assignment, AssignmentListener, MemberClaim

__all__ = ["ReplayGroup", "ReplayLost", "SoleOwner"]

logger = logging.getLogger("kafka_patterns.replay")

_POLL_SECONDS = 0.1
_COMMIT_SECONDS = 30.0
_COMMIT_TRIES = 4
_COMMITTED_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
_JOIN_MARGIN_SECONDS = 30.0
_OWNS = b"\x01"
# The group counts from when it reads a heartbeat: what is sent must be there before it gives up.
_PART_OF_A_SESSION = 0.75


class ReplayLost(GroupError):
    """A run was out of its group for a while: another may have gone on where it was."""


class SoleOwner:
    """An assignment policy that gives one member everything: who has it, keeps it."""

    name = REPLAY_ASSIGNOR_NAME
    version = REPLAY_ASSIGNOR_VERSION

    def __init__(self) -> None:
        self.owns = False

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        """Tell the leader whether we have it, unless we fell out of the group."""
        return _OWNS if self.owns and not first_join else b""

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        """As leader: all to the member that has all, else to the first by name."""
        owners = [name for name, claim in members.items() if claim.user_data == _OWNS]
        chosen = min(owners or members)
        everything = {topic: sorted(numbers) for topic, numbers in partitions.items()}
        return {name: everything if name == chosen else {} for name in members}


class ReplayGroup(AssignmentListener):
    """The membership of one run, in the thread of the run.

    :param session_seconds: after which the group gives up a member that it does not hear of.
    """

    def __init__(
        self, transport: Transport, group_id: str, topic: str, session_seconds: float
    ) -> None:
        self._group_id = group_id
        self._topic = topic
        self._session_seconds = session_seconds
        # It may have to wait for a dead member.
        self._joining_seconds = session_seconds + _JOIN_MARGIN_SECONDS
        self._policy = SoleOwner()
        self._settled = False
        self._assignment: Assignment | None = None
        self._lost = False
        self._member = transport.member(group_id, [topic], self._policy, self)

    def on_revoked(self, *, membership_lost: bool) -> None:
        self._settled = False
        self._lost = self._lost or (membership_lost and self._assignment is not None)

    def on_assigned(self, assignment: Assignment) -> None:
        before, self._assignment = self._assignment, assignment
        self._lost = self._lost or not (before is None or assignment.follows(before))
        self._settled = True
        self._policy.owns = bool(assignment.partitions)

    def committed(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        """What earlier runs committed; also without having joined.

        :raises TransportError: if the coordinator does not answer.
        """
        return self._member.committed(partitions, _COMMITTED_SECONDS)

    def keep(self) -> None:
        """Join, or stay in the group; called at least every session timeout.

        :raises ReplayLost: if it was in the group before, and was thrown out since.
        :raises GroupError: if another run of the same replay is in the group.
        :raises TransportError: if the group does not settle in time.
        """
        deadline = time.monotonic() + self._joining_seconds
        self._poll(0.0, deadline)
        while not self._settled:
            self._poll(_POLL_SECONDS, deadline)
        self._refuse_if_lost()
        if not self._policy.owns:
            raise GroupError(
                f"another replay of {self._topic!r} is running: it is in the consumer group "
                f"{self._group_id!r}. Wait until it ends, or give this one a group_id of its own, "
                "which has its own progress"
            )

    def _refuse_if_lost(self) -> None:
        if self._lost:
            raise ReplayLost(
                f"this replay of {self._topic!r} was thrown out of the consumer group "
                f"{self._group_id!r}, because it was frozen or cut off for longer than "
                f"consumer.session_timeout_ms, {self._session_seconds:g} s: another run may have "
                "gone on where it was. Run it again: what was replayed is left out"
            )

    @property
    def is_in_contact(self) -> bool:
        """Whether no other run can be in the group by now. Any thread.

        After a freeze it is the clock that tells first.
        """
        contact = self._member.seconds_since_contact
        return not self._lost and contact < self._session_seconds * _PART_OF_A_SESSION

    def await_contact(self) -> None:
        """Wait until no other run can be in the group: what is sent then is sent by one.

        :raises ReplayLost: if another run may have been in it.
        :raises GroupError: if another run is.
        :raises TransportError: if the coordinator does not answer in time.
        """
        deadline = time.monotonic() + self._joining_seconds
        while not self.is_in_contact:
            self.keep()
            self._poll(_POLL_SECONDS, deadline)
            if time.monotonic() >= deadline:
                raise TransportError(
                    f"the coordinator of consumer group {self._group_id!r} has not answered for "
                    f"{self._joining_seconds:g} s"
                )

    def _poll(self, timeout: float, deadline: float) -> None:
        try:
            self._member.poll(timeout)
        except GroupError:
            raise
        except TransportError:
            if time.monotonic() >= deadline:
                raise
        if not self._settled and time.monotonic() >= deadline:
            raise TransportError(
                f"consumer group {self._group_id!r} did not settle within "
                f"{self._joining_seconds:g} s"
            )

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit, and wait for it; once more after a rebalance that came in between.

        :raises CommitFailed: if the broker did not take it.
        :raises ReplayLost: if another run of the same replay may have committed since.
        """
        self._refuse_if_lost()
        for _ in range(_COMMIT_TRIES - 1):
            try:
                self._member.commit_now(offsets, _COMMIT_SECONDS)
                return
            except CommitFailed as error:
                logger.info("a commit failed, trying again: %s", error)
            self._poll(_POLL_SECONDS, time.monotonic() + self._joining_seconds)
            self.keep()
        self._member.commit_now(offsets, _COMMIT_SECONDS)

    def close(self) -> None:
        """Leave the group."""
        self._member.close(_CLOSE_SECONDS)
