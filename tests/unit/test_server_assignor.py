"""Who reads which partition: all of them, evenly, and with as few moves as that permits."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.message import TopicPartition
from kafka_patterns.server.assignor import (
    NO_CLAIM,
    Claim,
    StickyPolicy,
    assign_sticky,
    read_claim,
    write_claim,
)
from kafka_patterns.transport.group import MemberClaim

TOPICS = ("a", "b", "c")
NAMES = st.sampled_from("pqrstuvw")
CLUSTERS = st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 7).map(range), max_size=3)
OWNED = st.lists(
    st.builds(TopicPartition, st.sampled_from((*TOPICS, "gone")), st.integers(0, 9)), max_size=12
)
SUBSCRIPTIONS = st.sets(st.sampled_from(TOPICS)).map(tuple)


def all_partitions(cluster) -> set[TopicPartition]:
    return {
        TopicPartition(topic, number) for topic, numbers in cluster.items() for number in numbers
    }


def claims(owned: Mapping[str, Collection[TopicPartition]], generation=4) -> dict[str, Claim]:
    """All given by one generation."""
    return {
        member: Claim(generation, frozenset(partitions)) for member, partitions in owned.items()
    }


def kept_at_most(owned: dict[str, set[TopicPartition]], partitions: int) -> int:
    """How many partitions an even division can leave where they are."""
    share, over = divmod(partitions, len(owned))
    counts = [len(of_member) for of_member in owned.values()]
    above = sum(count > share for count in counts)
    return sum(min(count, share) for count in counts) + min(over, above)


@given(
    members=st.dictionaries(NAMES, st.tuples(SUBSCRIPTIONS, OWNED), max_size=6), cluster=CLUSTERS
)
def test_each_partition_goes_to_one_subscriber(members, cluster) -> None:
    topics = {member: subscribed for member, (subscribed, _) in members.items()}

    given = assign_sticky(topics, claims({m: owned for m, (_, owned) in members.items()}), cluster)

    dealt = [partition for held in given.values() for partition in held]
    subscribed = {topic for of_member in topics.values() for topic in of_member}
    assert sorted(dealt) == sorted(p for p in all_partitions(cluster) if p.topic in subscribed)
    for member, held in given.items():
        assert {partition.topic for partition in held} <= set(topics[member])


@given(owned=st.dictionaries(NAMES, OWNED, min_size=1, max_size=6), cluster=CLUSTERS)
def test_equal_subscriptions_are_balanced_within_one(owned, cluster) -> None:
    given = assign_sticky(dict.fromkeys(owned, TOPICS), claims(owned), cluster)

    counts = [len(held) for held in given.values()]
    assert max(counts) - min(counts) <= 1


@given(
    cluster=CLUSTERS,
    owners=st.lists(st.none() | NAMES, min_size=21, max_size=21),
    members=st.sets(NAMES, min_size=1),
)
def test_no_more_partitions_move_than_balance_asks_for(cluster, owners, members) -> None:
    owned: dict[str, set[TopicPartition]] = {member: set() for member in members}
    for partition, owner in zip(sorted(all_partitions(cluster)), owners, strict=False):
        if owner in owned:
            owned[owner].add(partition)

    given = assign_sticky(dict.fromkeys(members, TOPICS), claims(owned), cluster)

    kept = sum(len(owned[member] & given[member]) for member in members)
    assert kept == kept_at_most(owned, len(all_partitions(cluster)))


@given(cluster=CLUSTERS, generations=st.lists(st.sets(NAMES, min_size=1), min_size=1, max_size=6))
def test_same_members_again_move_nothing(cluster, generations) -> None:
    owned: dict[str, set[TopicPartition]] = {}
    for members in generations:
        topics = dict.fromkeys(members, TOPICS)
        owned = assign_sticky(topics, claims(owned), cluster)

        assert assign_sticky(topics, claims(owned), cluster) == owned


def test_partition_claimed_twice_goes_to_the_first_by_name() -> None:
    claimed = frozenset([TopicPartition("a", 0)])
    topics = {"m2": ["a"], "m1": ["a"]}

    given = assign_sticky(topics, claims({"m2": claimed, "m1": claimed}), {"a": [0, 1]})

    assert given == {"m1": {TopicPartition("a", 0)}, "m2": {TopicPartition("a", 1)}}


def test_partition_claimed_twice_goes_to_whom_the_later_generation_gave_it() -> None:
    claimed = frozenset([TopicPartition("a", 0)])
    topics = {"m2": ["a"], "m1": ["a"]}

    # As from a member that missed a generation, in which the other one was given the partition.
    given = assign_sticky(topics, {"m2": Claim(5, claimed), "m1": Claim(4, claimed)}, {"a": [0, 1]})

    assert given == {"m1": {TopicPartition("a", 1)}, "m2": {TopicPartition("a", 0)}}


def test_unsubscribed_topic_is_given_up() -> None:
    owned = {"m1": [TopicPartition("a", 0)], "m2": []}

    given = assign_sticky({"m1": ["b"], "m2": ["a", "b"]}, claims(owned), {"a": [0], "b": [0]})

    assert given == {"m1": {TopicPartition("b", 0)}, "m2": {TopicPartition("a", 0)}}


class TestUserData:
    @given(owned=OWNED, generation=st.integers(-1, 2**31 - 1))
    def test_what_is_claimed_comes_back(self, owned, generation) -> None:
        claim = Claim(generation, frozenset(owned))

        assert read_claim(write_claim(claim)) == claim

    def test_form_is_fixed(self) -> None:
        owned = frozenset([TopicPartition("b", 0), TopicPartition("a", 2), TopicPartition("a", 1)])

        written = b'{"version":2,"generation":7,"owned":{"a":[1,2],"b":[0]}}'
        assert write_claim(Claim(7, owned)) == written

    @given(junk=st.binary(max_size=60))
    def test_junk_says_nothing(self, junk) -> None:
        assert read_claim(junk) == NO_CLAIM

    def test_well_formed_junk_says_nothing(self) -> None:
        for junk in (
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"version":1,"owned":{"a":[0]}}',
            b'{"version":3,"generation":7,"owned":{"a":[0]}}',
            b'{"version":2,"generation":7}',
            b'{"version":2,"owned":{"a":[0]}}',
            b'{"version":2,"generation":"7","owned":{"a":[0]}}',
            b'{"version":2,"generation":true,"owned":{"a":[0]}}',
            b'{"version":2,"generation":7,"owned":[]}',
            b'{"version":2,"generation":7,"owned":{"a":0}}',
            b'{"version":2,"generation":7,"owned":{"a":[null,"1",true,1.5,-1,[0],{}]}}',
            b"[" * 100_000,
        ):
            assert not read_claim(junk).partitions


class TestPolicy:
    def test_tells_what_it_owns(self) -> None:
        policy = StickyPolicy(lambda: Claim(7, frozenset([TopicPartition("a", 1)])))

        told = read_claim(policy.user_data(["a"], first_join=False))

        assert told == Claim(7, frozenset([TopicPartition("a", 1)]))

    def test_owns_nothing_after_it_fell_out_of_the_group(self) -> None:
        policy = StickyPolicy(lambda: Claim(7, frozenset([TopicPartition("a", 1)])))

        assert read_claim(policy.user_data(["a"], first_join=True)) == NO_CLAIM

    def test_member_of_kafkajs_without_user_data_gets_its_share(self) -> None:
        policy = StickyPolicy(lambda: NO_CLAIM)
        members = {
            "kafkajs": MemberClaim(("a",), b""),
            "python": MemberClaim(
                ("a",), write_claim(Claim(7, frozenset([TopicPartition("a", 3)])))
            ),
        }

        given = policy.assign(members, {"a": range(4)})

        assert given["python"]["a"] == sorted(given["python"]["a"])
        assert 3 in given["python"]["a"]
        assert len(given["kafkajs"]["a"]) == 2
