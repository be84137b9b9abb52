"""Who reads which partition of the servers' topics: balanced, and sticky.

The protocol name is that of kafkajs's default assigner, so that a Python server can join a
NestJS server's group. kafkajs sends no user data; ours tells what each member has, and as
leader ours takes nothing from anybody without need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from kafka_patterns.headers import (
    OWNED_PARTITIONS_VERSION,
    SERVER_ASSIGNOR_NAME,
    SERVER_ASSIGNOR_VERSION,
)
from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.group import MemberClaim

__all__ = ["NO_CLAIM", "Claim", "StickyPolicy", "assign_sticky", "read_claim", "write_claim"]


@attrs.frozen
class Claim:
    """What a member says it has.

    :param generation: the one that gave it; of two claims the later one counts.
    """

    generation: int
    partitions: frozenset[TopicPartition]


NO_CLAIM = Claim(-1, frozenset())


class StickyPolicy:
    """The policy of one server.

    :param claim: tells what this member has now.
    """

    name = SERVER_ASSIGNOR_NAME
    version = SERVER_ASSIGNOR_VERSION

    def __init__(self, claim: Callable[[], Claim]) -> None:
        self._claim = claim

    def user_data(self, topics: Collection[str], *, first_join: bool) -> bytes:
        """Tell the leader what we have, unless we lost it by falling out of the group."""
        return write_claim(NO_CLAIM if first_join else self._claim())

    def assign(
        self, members: Mapping[str, MemberClaim], partitions: Mapping[str, Collection[int]]
    ) -> Mapping[str, Mapping[str, list[int]]]:
        """As leader: divide all partitions of all topics."""
        topics = {member: claim.topics for member, claim in members.items()}
        claims = {member: read_claim(claim.user_data) for member, claim in members.items()}
        assignment: dict[str, dict[str, list[int]]] = {member: {} for member in members}
        for member, given in assign_sticky(topics, claims, partitions).items():
            for topic, partition in sorted(given):
                assignment[member].setdefault(topic, []).append(partition)
        return assignment


def assign_sticky(
    topics: Mapping[str, Collection[str]],
    claims: Mapping[str, Claim],
    partitions: Mapping[str, Collection[int]],
) -> dict[str, set[TopicPartition]]:
    """Give each partition to one subscriber; move as few as an even share permits.

    :param topics: what each member subscribes to.
    :param claims: what each member says it has; what does not exist counts for nobody, and what
        is claimed twice for the later generation, or the first member by name.
    """
    claimed = _latest(claims)
    free = {TopicPartition(t, p) for t, numbers in partitions.items() for p in numbers}
    given: dict[str, set[TopicPartition]] = {member: set() for member in sorted(topics)}
    for member, given_to_member in given.items():
        for partition in sorted(claimed.get(member, ())):
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


def _latest(claims: Mapping[str, Claim]) -> dict[str, list[TopicPartition]]:
    """Each member's claims without those that a later generation made void."""
    generations: dict[TopicPartition, int] = {}
    for claim in claims.values():
        for partition in claim.partitions:
            known = generations.get(partition, claim.generation)
            generations[partition] = max(known, claim.generation)
    return {
        member: [tp for tp in claim.partitions if generations[tp] == claim.generation]
        for member, claim in claims.items()
    }


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


def write_claim(claim: Claim) -> bytes:
    """A member's claim, as its user data."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(claim.partitions):
        by_topic.setdefault(topic, []).append(partition)
    form = {
        "version": OWNED_PARTITIONS_VERSION,
        "generation": claim.generation,
        "owned": by_topic,
    }
    return json.dumps(form, separators=(",", ":")).encode()


def read_claim(user_data: bytes) -> Claim:
    """A member's claim; what cannot be read claims nothing."""
    try:
        parsed: Any = json.loads(user_data)
    except (ValueError, RecursionError):
        return NO_CLAIM
    if not isinstance(parsed, dict) or parsed.get("version") != OWNED_PARTITIONS_VERSION:
        return NO_CLAIM
    generation, owned = parsed.get("generation"), parsed.get("owned")
    if type(generation) is not int or not isinstance(owned, dict):
        return NO_CLAIM
    return Claim(
        generation,
        frozenset(
            TopicPartition(topic, partition)
            for topic, numbers in owned.items()
            if isinstance(numbers, list)
            for partition in numbers
            if type(partition) is int and partition >= 0
        ),
    )
