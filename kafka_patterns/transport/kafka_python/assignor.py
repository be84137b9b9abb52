"""An assignment policy as the base takes it: an ``AbstractPartitionAssignor`` instance.

One instance per consumer: the base's own assignors keep their state on the class, where two
consumers of a process overwrite each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from kafka_patterns.transport.group import AssignmentPolicy, MemberClaim

__all__ = ["PolicyAssignor"]


class PolicyAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # the base has no types
    """Carries a policy's decisions in the group protocol's own structures.

    Metadata and assignments carry the policy's version, without the owned partitions that
    version 1 has since KIP-429: so kafkajs writes them.
    """

    def __init__(self, policy: AssignmentPolicy) -> None:
        self._policy = policy
        self.first_join: Callable[[], bool] = lambda: True
        self.last_known: Callable[[str], Collection[int]] = lambda _topic: ()

    @property
    def name(self) -> str:
        """The protocol name."""
        return self._policy.name

    def metadata(self, topics: Collection[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says when it joins."""
        ordered = sorted(topics)
        user_data = self._policy.user_data(ordered, first_join=self.first_join())
        return ConsumerProtocolMemberMetadata(self._policy.version, ordered, user_data)

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """As the leader: what each member gets; every member gets an entry."""
        claims = {
            member_id: MemberClaim(tuple(metadata.subscription), metadata.user_data or b"")
            for member_id, metadata in members.items()
        }
        topics = {topic for claim in claims.values() for topic in claim.topics}
        partitions = {
            topic: sorted(cluster.partitions_for_topic(topic) or self.last_known(topic))
            for topic in sorted(topics)
        }
        assigned = self._policy.assign(claims, partitions)
        return {
            member_id: ConsumerProtocolMemberAssignment(
                self._policy.version, sorted(assigned[member_id].items()), b""
            )
            for member_id in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """The listener tells the owner; nothing is left to do here."""
