"""Who owns which reply partition: an algorithm that keeps what a live member has.

Protocol, metadata and assignments are those of NestJS's ``KafkaReplyPartitionAssigner``, so
that NestJS and Python instances can be members of one group, whoever leads it. As leader this
one keeps each claim that can be kept, and survives claims that crash NestJS's: foreign bytes,
partitions that do not exist, the same partition claimed twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka_patterns.headers import REPLY_ASSIGNOR_NAME, REPLY_ASSIGNOR_VERSION
from kafka_patterns.transport.group import MemberClaim

__all__ = ["ReplyAssignmentPolicy", "assign_reply_partitions", "read_claims", "write_claims"]


class ReplyAssignmentPolicy:
    """The policy of one client.

    :param named: tells the partition this client names in its requests, per reply topic.
    """

    name = REPLY_ASSIGNOR_NAME
    version = REPLY_ASSIGNOR_VERSION

    def __init__(self, named: Callable[[], Mapping[str, int]]) -> None:
        self._named = named

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        """Claim what we name now; after we fell out of the group somebody else may have it."""
        if first_join:
            return write_claims({})
        named = self._named()
        return write_claims({topic: named[topic] for topic in topics if topic in named})

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        """As leader: give each member its reply partitions, topic by topic."""
        claims = {member: read_claims(claim.user_data) for member, claim in members.items()}
        assignment: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        for topic, topic_partitions in partitions.items():
            subscribers = sorted(m for m, claim in members.items() if topic in claim.topics)
            topic_claims = {m: claims[m][topic] for m in subscribers if topic in claims[m]}
            given = assign_reply_partitions(subscribers, topic_claims, sorted(topic_partitions))
            for member, member_partitions in given.items():
                assignment[member][topic] = member_partitions
        return assignment


def assign_reply_partitions(
    members: list[str], claims: Mapping[str, int], partitions: list[int]
) -> dict[str, list[int]]:
    """Divide the sorted *partitions* of one topic among the sorted *members*.

    Every partition is given once. A member keeps the partition it claims, unless it does not
    exist or a member before it claims it as well. Nobody is left without a partition while
    there are enough. What is left over goes to those who have fewest, if possible below
    nobody's claim: NestJS members name the lowest partition they have.
    """
    free = list(partitions)
    given: dict[str, list[int]] = {member: [] for member in members}
    for member in members:
        claim = claims.get(member)
        if claim in free:
            given[member].append(claim)
            free.remove(claim)
    for member in members:
        if not given[member] and free:
            given[member].append(free.pop(0))
    for partition in free:
        if not members:
            break
        receiver = min(members, key=lambda m: (min(given[m]) > partition, len(given[m]), m))
        given[receiver].append(partition)
    return {member: sorted(member_partitions) for member, member_partitions in given.items()}


def write_claims(claims: Mapping[str, int]) -> bytes:
    """The user data of a member, byte for byte as NestJS writes it."""
    return json.dumps(
        {"previousAssignment": dict(claims)}, separators=(",", ":"), ensure_ascii=False
    ).encode()


def read_claims(user_data: bytes) -> dict[str, int]:
    """The claims in any user data; what cannot be read claims nothing."""
    try:
        parsed: Any = json.loads(user_data)
    except (ValueError, RecursionError):
        return {}
    claims = parsed.get("previousAssignment") if isinstance(parsed, dict) else None
    if not isinstance(claims, dict):
        return {}
    return {
        topic: partition
        for topic, partition in claims.items()
        if type(partition) is int and partition >= 0
    }
