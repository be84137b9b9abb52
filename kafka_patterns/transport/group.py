"""The seam's part for consumer groups: membership, and who gets which partition.

A :class:`Member` belongs to one thread, except for ``wakeup`` and ``interrupt``. Timeouts are
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import attrs

from kafka_patterns.errors import TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition

__all__ = [
    "Assignment",
    "AssignmentListener",
    "AssignmentPolicy",
    "CoordinatorSilent",
    "Member",
    "MemberClaim",
]


class CoordinatorSilent(TransportError):
    """The coordinator has taken no heartbeat for a session: that trouble has lasted already."""


@attrs.frozen
class Assignment:
    """What one generation of the group gave this member.

    :param member_id: the group's name for this member; another one after each lost membership.
    """

    partitions: frozenset[TopicPartition]
    generation: int
    member_id: str

    def follows(self, before: Assignment) -> bool:
        """Whether nobody else can have had anything of *before* in between.

        A generation that this member missed may have given it to others, also if it was never
        thrown out. A follower that joins again and says nothing new gets the same one once more.
        """
        return self.member_id == before.member_id and self.generation - before.generation in (0, 1)


class AssignmentListener(Protocol):
    """Told of the group's decisions, in the member's thread; must be quick."""

    def on_revoked(self, *, membership_lost: bool) -> None:
        """A rebalance begins: all partitions are given back (eager protocol).

        :param membership_lost: the group went on without this member meanwhile, so that its
            partitions may have had another owner since.
        """
        ...

    def on_assigned(self, assignment: Assignment) -> None:
        """The rebalance ended with this assignment; the next one may begin in the same poll."""
        ...


@attrs.frozen
class MemberClaim:
    """What one member of the group said when it joined."""

    topics: tuple[str, ...]
    user_data: bytes


class AssignmentPolicy(Protocol):
    """Decides who gets which partition; carries the state of one member."""

    @property
    def name(self) -> str:
        """The protocol name; all members of a group must share one."""
        ...

    @property
    def version(self) -> int:
        """The version of the group protocol's structures that members of this group write."""
        ...

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        """What this member tells the leader; called at every join."""
        ...

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        """As the leader: give each member its partitions, per topic.

        Called for every member; tolerates any user data. Topics without known partitions
        have an empty collection.
        """
        ...


class Member(Protocol):
    """The membership in a consumer group: joins, heartbeats, commits; reads no record."""

    def subscribe(self, topics: Collection[str]) -> None:
        """Change the topics; the next ``poll`` joins anew."""
        ...

    def refresh_topics(self) -> None:
        """Ask for the metadata of the topics anew, in a later ``poll``."""
        ...

    def poll(self, timeout: float) -> None:
        """Join or rejoin if needed (which may take long), send and receive what is due.

        :raises CoordinatorSilent: if the coordinator took no heartbeat for a session; it is
            connected anew, and this is raised until it takes one again.
        :raises BrokenOff: after :meth:`break_off_join`, if it waited for the group.
        :raises TransportError: for other trouble, which may pass.
        :raises GroupError: if the group does not accept this member.
        """
        ...

    @property
    def rejoin_needed(self) -> bool:
        """Whether the next ``poll`` will give back all partitions and join again."""
        ...

    @property
    def membership_lost(self) -> bool:
        """Whether the group threw this member out, or it never was in."""
        ...

    @property
    def seconds_since_contact(self) -> float:
        """Since the last heartbeat that was answered was sent; infinite outside the group.

        By the monotonic clock, which goes on while the process is frozen.
        """
        ...

    def commit(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Send a commit; ``done`` is called in the member's thread, in a later ``poll``."""
        ...

    def commit_now(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout: float
    ) -> None:
        """Commit and wait for the answer.

        :raises CommitFailed: if it did not succeed within *timeout*.
        """
        ...

    def committed(
        self, partitions: Collection[TopicPartition], timeout: float
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        """The group's committed positions; ``None`` where there is none.

        :raises TransportError: if the coordinator did not answer within *timeout*.
        """
        ...

    def missing_topics(self) -> Collection[str]:
        """The subscribed topics that do not exist, as far as the metadata says."""
        ...

    def wakeup(self) -> None:
        """From any thread: let a running ``poll`` return, unless it joins."""
        ...

    def break_off_join(self) -> None:
        """From any thread: let a running or later wait for the group end, for good.

        Commits may follow, and ``close``, which leaves the group.
        """
        ...

    def interrupt(self) -> None:
        """From any thread: break off whatever runs, for good. Only ``close`` may follow."""
        ...

    def close(self, timeout: float) -> None:
        """Leave the group (waiting at most *timeout* for it) and close the connections."""
        ...

    def unwrap(self) -> Any:
        """The client library's own consumer."""
        ...
