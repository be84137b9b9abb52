"""Who gets which reply partition: every one once, and nobody loses the one he names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from kafka_patterns.client.assignor import (
    ReplyAssignmentPolicy,
    assign_reply_partitions,
    read_claims,
    write_claims,
)
from kafka_patterns.transport.group import MemberClaim
from kafka_patterns.transport.kafka_python.assignor import PolicyAssignor
from tests.golden import rows

METADATA = [row for row in rows("reply_assignor") if "metadata" in row]
ASSIGNMENTS = [row for row in rows("reply_assignor") if "encoded" in row]

MEMBERS = st.sets(st.text("abcdef-0123456789", min_size=1, max_size=6), max_size=8).map(sorted)
PARTITIONS = st.sets(st.integers(0, 12), max_size=10).map(sorted)
CLAIMS = st.lists(st.none() | st.integers(0, 14), min_size=8, max_size=8)
JUNK = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            b"null",
            b"{}",
            b"[]",
            b'"text"',
            b'{"previousAssignment":null}',
            b'{"previousAssignment":[1]}',
            b'{"previousAssignment":{"t":null}}',
            b'{"previousAssignment":{"t":"1"}}',
            b'{"previousAssignment":{"t":true}}',
            b'{"previousAssignment":{"t":1.5}}',
            b'{"previousAssignment":{"t":-1}}',
            b'{"previousAssignment":{"t":1e999}}',
            b'{"previousAssignment":{"t":' + b"9" * 5000 + b"}}",
            b"[" * 100_000,
            "\ud800".encode("utf-16-le", "surrogatepass"),
        ]
    ),
)


def claims_of(members: list[str], claimed: list[int | None]) -> dict[str, int]:
    return {m: claim for m, claim in zip(members, claimed, strict=False) if claim is not None}


class TestAlgorithm:
    @given(members=MEMBERS, partitions=PARTITIONS, claimed=CLAIMS)
    def test_every_partition_is_given_once(self, members, partitions, claimed) -> None:
        given = assign_reply_partitions(members, claims_of(members, claimed), partitions)

        dealt = sorted(partition for held in given.values() for partition in held)
        assert dealt == (partitions if members else [])
        assert sorted(given) == members

    @given(members=MEMBERS, partitions=PARTITIONS, claimed=CLAIMS)
    def test_live_claimant_of_a_valid_partition_keeps_it(
        self, members, partitions, claimed
    ) -> None:
        claims = claims_of(members, claimed)

        given = assign_reply_partitions(members, claims, partitions)

        for partition in partitions:
            claimants = [member for member in members if claims.get(member) == partition]
            if claimants:
                assert partition in given[claimants[0]]

    @given(members=MEMBERS, partitions=PARTITIONS, claimed=CLAIMS)
    def test_nobody_starves_while_there_are_enough(self, members, partitions, claimed) -> None:
        given = assign_reply_partitions(members, claims_of(members, claimed), partitions)

        with_some = sum(bool(held) for held in given.values())
        assert with_some == min(len(members), len(partitions))

    @given(members=MEMBERS, partitions=PARTITIONS)
    def test_first_assignment_is_balanced(self, members, partitions) -> None:
        counts = [len(p) for p in assign_reply_partitions(members, {}, partitions).values()]

        assert not counts or max(counts) - min(counts) <= 1

    @given(
        partitions=PARTITIONS,
        generations=st.lists(st.sets(st.sampled_from("abcdefgh")), min_size=2, max_size=8),
    )
    def test_named_partition_survives_joins_and_leaves(self, partitions, generations) -> None:
        named: dict[str, int] = {}
        for generation in generations:
            members = sorted(generation)
            named = {member: named[member] for member in members if member in named}

            given = assign_reply_partitions(members, named, partitions)

            for member, partition in named.items():
                assert partition in given[member]
            named.update({m: held[0] for m, held in given.items() if m not in named and held})

    @given(members=MEMBERS, partitions=PARTITIONS, claimed=CLAIMS)
    def test_leftover_never_undercuts_a_claim_that_another_member_could_spare(
        self, members, partitions, claimed
    ) -> None:
        claims = claims_of(members, claimed)

        given = assign_reply_partitions(members, claims, partitions)

        kept = {m: claims[m] for m in members if claims.get(m) in given[m]}
        for member, claim in kept.items():
            lowest = min(given[member])
            if lowest < claim:
                # NestJS would name this one next; so nobody else may have had a lower one.
                others = [held for other, held in given.items() if other != member]
                assert all(min(held) > lowest for held in others)


class TestCasesSeenWithNestJS:
    """What NestJS's own leader was seen to do; where it is not contrary to ours."""

    @pytest.mark.parametrize(
        ("members", "claims", "partitions", "given"),
        [
            (["m1"], {}, 3, {"m1": [0, 1, 2]}),
            (["m1", "m2"], {}, 3, {"m1": [0, 2], "m2": [1]}),
            (
                ["m1", "m2", "m3", "m4"],
                {},
                3,
                {"m1": [0], "m2": [1], "m3": [2], "m4": []},
            ),
            (
                ["m1", "m2", "m3"],
                {"m2": 0, "m3": 2},
                3,
                {"m1": [1], "m2": [0], "m3": [2]},
            ),
        ],
    )
    def test_same_as_nestjs(self, members, claims, partitions, given) -> None:
        assert assign_reply_partitions(members, claims, list(range(partitions))) == given

    def test_partition_below_a_claim_goes_to_who_names_a_lower_one(self) -> None:
        given = assign_reply_partitions(["m1", "m2"], {"m1": 1, "m2": 3}, [0, 1, 2, 3])

        assert given["m2"] == [3]

    def test_one_member_takes_all_that_lies_below_every_claim(self) -> None:
        given = assign_reply_partitions(["m1", "m2"], {"m1": 5, "m2": 6}, [0, 1, 2, 5, 6])

        assert given == {"m1": [0, 1, 2, 5], "m2": [6]}

    def test_partition_claimed_twice_is_given_once(self) -> None:
        given = assign_reply_partitions(["m1", "m2"], {"m1": 0, "m2": 0}, [0, 1, 2])

        assert given == {"m1": [0, 2], "m2": [1]}

    def test_claim_of_a_partition_that_does_not_exist_is_ignored(self) -> None:
        assert assign_reply_partitions(["m1"], {"m1": 5}, [0]) == {"m1": [0]}

    def test_claimant_comes_before_a_member_without_claim(self) -> None:
        assert assign_reply_partitions(["a", "b"], {"b": 0}, [0]) == {"a": [], "b": [0]}


class TestClaims:
    @given(claims=st.dictionaries(st.text(), st.integers(0, 2**31 - 1)))
    def test_claims_come_back(self, claims) -> None:
        assert read_claims(write_claims(claims)) == claims

    @given(junk=JUNK)
    @example(b'{"previousAssignment":{"t":1}')
    def test_junk_claims_nothing_and_raises_nothing(self, junk) -> None:
        assert set(read_claims(junk)) <= {"t"}

    @pytest.mark.parametrize("value", [None, "1", True, 1.0, -1, [1], {}])
    def test_only_whole_numbers_from_zero_are_claims(self, value) -> None:
        data = json.dumps({"previousAssignment": {"bad": value, "good": 2}}).encode()

        assert read_claims(data) == {"good": 2}


def claim(*topics: str, **claims: int) -> MemberClaim:
    return MemberClaim(topics, write_claims(claims))


class TestPolicy:
    def test_claims_what_it_names(self) -> None:
        policy = ReplyAssignmentPolicy(lambda: {"a.reply": 3, "b.reply": 1})

        data = policy.user_data(["a.reply", "c.reply"], first_join=False)

        assert read_claims(data) == {"a.reply": 3}

    def test_claims_nothing_after_it_fell_out_of_the_group(self) -> None:
        policy = ReplyAssignmentPolicy(lambda: {"a.reply": 3})

        assert policy.user_data(["a.reply"], first_join=True) == b'{"previousAssignment":{}}'

    def test_each_topic_is_divided_among_its_own_subscribers(self) -> None:
        policy = ReplyAssignmentPolicy(dict)
        members = {"m1": claim("a", "b", a=1), "m2": claim("a"), "m3": claim("elsewhere")}

        given = policy.assign(members, {"a": [0, 1], "b": [0, 1], "elsewhere": []})

        assert given == {
            "m1": {"a": [1], "b": [0, 1]},
            "m2": {"a": [0]},
            "m3": {"elsewhere": []},
        }

    @given(junk=st.lists(JUNK, min_size=1, max_size=4))
    def test_junk_of_others_takes_nothing_from_a_claimant(self, junk) -> None:
        policy = ReplyAssignmentPolicy(dict)
        members = {f"a{n}": MemberClaim(("t",), data) for n, data in enumerate(junk)}
        members["z"] = MemberClaim(("t",), write_claims({"t": 9}))

        given = policy.assign(members, {"t": range(10)})

        assert 9 in given["z"]["t"]
        assert sorted(p for topics in given.values() for p in topics["t"]) == list(range(10))


class TestGoldenBytes:
    @pytest.mark.parametrize("row", METADATA, ids=lambda row: str(row["previous_assignment"]))
    def test_metadata_is_what_nestjs_writes(self, row: dict[str, Any]) -> None:
        assignor = PolicyAssignor(ReplyAssignmentPolicy(lambda: row["previous_assignment"]))
        assignor.first_join = lambda: False

        metadata = assignor.metadata(row["topics"])

        assert assignor.name == row["name"]
        assert metadata.encode().hex() == row["metadata"]

    @pytest.mark.parametrize("row", METADATA, ids=lambda row: str(row["previous_assignment"]))
    def test_metadata_of_nestjs_is_understood(self, row: dict[str, Any]) -> None:
        decoded = ConsumerProtocolMemberMetadata.decode(bytes.fromhex(row["metadata"]))

        assert decoded.subscription == row["topics"]
        assert read_claims(decoded.user_data) == row["previous_assignment"]

    @pytest.mark.parametrize("row", ASSIGNMENTS, ids=lambda row: str(row["assignment"]))
    def test_assignment_is_what_nestjs_writes(self, row: dict[str, Any]) -> None:
        assignor = PolicyAssignor(FixedPolicy(row["assignment"]))
        member = ConsumerProtocolMemberMetadata(1, list(row["assignment"]), b"")

        assigned = assignor.assign(NoCluster(), {"m1": member})

        assert assigned["m1"].encode().hex() == row["encoded"]
        decoded = ConsumerProtocolMemberAssignment.decode(bytes.fromhex(row["encoded"]))
        assert dict(decoded.assignment) == row["assignment"]

    def test_every_member_gets_an_entry(self) -> None:
        assignor = PolicyAssignor(ReplyAssignmentPolicy(dict))
        empty = ConsumerProtocolMemberMetadata(0, [], None)

        assigned = assignor.assign(NoCluster(), {"m1": empty, "m2": empty})

        assert {member: entry.assignment for member, entry in assigned.items()} == {
            "m1": [],
            "m2": [],
        }


class FixedPolicy(ReplyAssignmentPolicy):
    """Gives every member the same."""

    def __init__(self, assignment: dict[str, list[int]]) -> None:
        super().__init__(dict)
        self._assignment = assignment

    def assign(self, members, partitions):
        return dict.fromkeys(members, self._assignment)


class NoCluster:
    """Cluster metadata that knows no topic yet."""

    def partitions_for_topic(self, topic: str) -> None:
        return None
