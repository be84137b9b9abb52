"""Who reads which partition of the servers' topics: balanced, and sticky.

The protocol name is that of kafkajs's default assigner, so that a Python server can join a
NestJS server's group. kafkajs sends no user data; ours tells what each member has, and as
leader ours takes nothing from anybody without need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka_patterns.headers import (
    OWNED_PARTITIONS_VERSION,
    SERVER_ASSIGNOR_NAME,
    SERVER_ASSIGNOR_VERSION,
)
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.group import MemberClaim

__all__ = ["StickyPolicy", "assign_sticky", "read_owned", "write_owned"]


class StickyPolicy:
    """The policy of one server.

    :param owned: tells what this member has now.
    """

    name = SERVER_ASSIGNOR_NAME
    version = SERVER_ASSIGNOR_VERSION

    def __init__(self, owned: Callable[[], Collection[TopicPartition]]) -> None:
        self._owned = owned

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        """Tell the leader what we have, unless we lost it by falling out of the group."""
        return write_owned([] if first_join else self._owned())

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        """As leader: divide all partitions of all topics."""
        topics = {member: claim.topics for member, claim in members.items()}
        owned = {member: read_owned(claim.user_data) for member, claim in members.items()}
        assignment: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        for member, given in assign_sticky(topics, owned, partitions).items():
            for topic, partition in sorted(given):
                assignment[member].setdefault(topic, []).append(partition)
        return assignment


def assign_sticky(
    topics: Mapping[str, Collection[str]],
    owned: Mapping[str, Collection[TopicPartition]],
    partitions: Mapping[str, Collection[int]],
) -> dict[str, set[TopicPartition]]:
    """Give each partition to one subscriber; move as few as an even share permits.

    :param topics: what each member subscribes to.
    :param owned: what each member says it has; what does not exist or is claimed twice counts
        once, for the first member by name.
    """
    free = {TopicPartition(t, p) for t, numbers in partitions.items() for p in numbers}
    given: dict[str, set[TopicPartition]] = {member: set() for member in sorted(topics)}
    for member, given_to_member in given.items():
        for partition in sorted(owned.get(member, ())):
            if partition in free and partition.topic in topics[member]:
                given_to_member.add(partition)
                free.discard(partition)
    for partition in sorted(free):
        takers = [member for member in given if partition.topic in topics[member]]
        if takers:
            given[min(takers, key=lambda m: (len(given[m]), m))].add(partition)
    while _move_one(given, topics):
        pass
    return given


def _move_one(given: dict[str, set[TopicPartition]], topics: Mapping[str, Collection[str]]) -> bool:
    """Move one partition from a member with too many to one with too few, if there are such."""
    for taker in sorted(given, key=lambda m: (len(given[m]), m)):
        for giver in sorted(given, key=lambda m: (-len(given[m]), m)):
            if len(given[giver]) - len(given[taker]) < 2:
                break
            movable = [tp for tp in sorted(given[giver]) if tp.topic in topics[taker]]
            if movable:
                given[giver].discard(movable[-1])
                given[taker].add(movable[-1])
                return True
    return False


def write_owned(owned: Collection[TopicPartition]) -> bytes:
    """What a member has, as its user data."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(owned):
        by_topic.setdefault(topic, []).append(partition)
    return json.dumps(
        {"version": OWNED_PARTITIONS_VERSION, "owned": by_topic}, separators=(",", ":")
    ).encode()


def read_owned(user_data: bytes) -> list[TopicPartition]:
    """What a member says it has; what cannot be read says nothing."""
    try:
        parsed: Any = json.loads(user_data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(parsed, dict) or parsed.get("version") != OWNED_PARTITIONS_VERSION:
        return []
    owned = parsed.get("owned")
    if not isinstance(owned, dict):
        return []
    return [
        TopicPartition(topic, partition)
        for topic, numbers in owned.items()
        if isinstance(numbers, list)
        for partition in numbers
        if type(partition) is int and partition >= 0
    ]
