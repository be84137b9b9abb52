"""Joining a group, past the traps of the base's coordinator."""

from __future__ import annotations

import pytest

from kafka_patterns.errors import GroupError, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.testing import ApiKey
from tests.support.waiting import eventually
from tests.transport.error_codes import (
    FENCED_INSTANCE_ID,
    GROUP_NOT_AUTHORIZED,
    ILLEGAL_GENERATION,
    INCONSISTENT_PROTOCOL,
    INVALID_GROUP,
    INVALID_SESSION_TIMEOUT,
    NOT_COORDINATOR,
    REBALANCE_IN_PROGRESS,
    UNKNOWN,
    UNKNOWN_MEMBER,
)
from tests.transport.parts import HERO, Listener, Policy, all_room, polling, produce


class TestJoin:
    def test_assignment_is_told_with_its_generation(self, own, hero) -> None:
        listener = Listener()

        member = own.joined("heroes", hero, listener=listener)

        assert listener.assigned[-1] == ([HERO, TopicPartition(hero, 1)], member.generation)
        assert member.generation >= 1
        assert not member.membership_lost
        assert not member.rejoin_needed
        assert member.seconds_since_contact < 15

    def test_first_join_counts_as_a_lost_membership(self, own, hero) -> None:
        listener, policy = Listener(), Policy()
        member = own.member("heroes", hero, listener=listener, policy=policy)
        assert member.membership_lost
        assert member.seconds_since_contact == float("inf")

        with polling(member):
            eventually(lambda: listener.assigned)

        assert listener.revoked[0]
        assert policy.first_joins[0]

    def test_join_of_another_member_is_no_lost_membership(self, own, hero) -> None:
        listener, policy, other = Listener(), Policy(), Listener()
        member = own.joined("heroes", hero, listener=listener, policy=policy)
        joins, revoked = len(policy.first_joins), len(listener.revoked)
        before = len(listener.assigned)

        with polling(member, own.member("heroes", hero, listener=other)):
            eventually(lambda: len(listener.assigned) > before and other.assigned)

        assert set(listener.revoked[revoked:]) == {False}
        assert set(policy.first_joins[joins:]) == {False}

    @pytest.mark.parametrize("error", [UNKNOWN_MEMBER, ILLEGAL_GENERATION])
    def test_membership_that_the_group_ended_is_told_as_lost(
        self, own, own_broker, hero, error
    ) -> None:
        listener, policy = Listener(), Policy()
        member = own.joined("heroes", hero, listener=listener, policy=policy)
        own_broker.push_request_errors(ApiKey.HEARTBEAT, error)

        with polling(member):
            eventually(lambda: len(listener.assigned) >= 2)

        assert listener.revoked[:2] == [True, True]
        assert policy.first_joins[:2] == [True, True]

    def test_coming_rebalance_is_seen_before_the_poll_that_joins(
        self, own, own_broker, hero
    ) -> None:
        member = own.joined("heroes", hero)
        own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)

        eventually(lambda: member.rejoin_needed)

    def test_topics_are_missing_until_the_metadata_tells_them(self, own, hero) -> None:
        member = own.member("heroes", hero)
        assert member.missing_topics() == {hero}

        with polling(member):
            eventually(lambda: member.missing_topics() == set())

    def test_member_reads_no_record(self, own, hero) -> None:
        produce(own.producer(), hero, b"x")
        member = own.joined("heroes", hero, consumer={"fetch_max_wait_ms": 1})

        consumer = member.unwrap()

        assert consumer.paused() == consumer.assignment()
        assert consumer.poll(50) == {}

    def test_other_topics_are_joined_for_after_a_change(self, own, own_broker, hero) -> None:
        own_broker.create_topic("villain")
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)

        member.subscribe(["villain"])
        with polling(member):
            eventually(lambda: listener.partitions == [TopicPartition("villain", 0)])

        assert member.missing_topics() == set()

    @pytest.mark.parametrize(
        "error",
        [INCONSISTENT_PROTOCOL, INVALID_GROUP, INVALID_SESSION_TIMEOUT, GROUP_NOT_AUTHORIZED],
    )
    def test_refusal_that_another_try_cannot_mend_is_a_group_error(
        self, own, own_broker, hero, error
    ) -> None:
        own_broker.push_request_errors(ApiKey.JOIN_GROUP, error)

        with polling(own.member("heroes", hero)) as errors:
            refused = eventually(lambda: [e for e in errors if isinstance(e, GroupError)])

        assert "group 'heroes' does not accept this member" in str(refused[0])

    @pytest.mark.parametrize("api", [ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT])
    def test_member_fenced_by_its_double_is_a_group_error(self, own, own_broker, hero, api) -> None:
        own_broker.push_request_errors(api, FENCED_INSTANCE_ID)
        member = own.member("heroes", hero, consumer={"group_instance_id": "one"})

        with polling(member) as errors:
            fenced = eventually(lambda: [e for e in errors if isinstance(e, GroupError)])

        assert "another live member uses the same group_instance_id" in str(fenced[0])

    @pytest.mark.parametrize("api", [ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP])
    def test_any_other_failure_of_a_join_is_survived(self, own, own_broker, hero, api) -> None:
        own_broker.push_request_errors(api, UNKNOWN, NOT_COORDINATOR, REBALANCE_IN_PROGRESS)
        listener = Listener()

        with polling(own.member("heroes", hero, listener=listener)) as errors:
            eventually(lambda: listener.assigned)

        assert not any(isinstance(error, GroupError) for error in errors)

    def test_join_that_failed_is_tried_again_though_what_made_it_due_is_undone(
        self, own, own_broker, hero
    ) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        before = len(listener.assigned)
        coordinator = member.unwrap()._coordinator
        known = coordinator._metadata_snapshot
        own_broker.push_request_errors(ApiKey.JOIN_GROUP, UNKNOWN)

        # As when a broker that has just started tells of fewer partitions, for a moment.
        coordinator._metadata_snapshot = {hero: {0}}
        with pytest.raises(TransportError):
            member.poll(0)
        coordinator._metadata_snapshot = known

        assert member.rejoin_needed
        with polling(member):
            eventually(lambda: len(listener.assigned) > before)
        assert member.seconds_since_contact < 15

    def test_assignments_tell_the_name_that_the_group_has_for_the_member(
        self, own, own_broker, hero
    ) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        with polling(member):
            own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)
            eventually(lambda: len(listener.assigned) >= 2)
            own_broker.push_request_errors(ApiKey.HEARTBEAT, UNKNOWN_MEMBER)
            eventually(lambda: len(listener.assigned) >= 3)

        first, again, anew = listener.assignments[:3]
        assert again.follows(first)
        assert not anew.follows(again)


class TestOtherMembers:
    def test_two_members_in_one_process_do_not_share_assignor_state(self, own, hero) -> None:
        policies = [Policy(b"first"), Policy(b"second")]
        listeners = [Listener(), Listener()]
        members = [
            own.member("heroes", hero, policy=policy, listener=listener)
            for policy, listener in zip(policies, listeners, strict=True)
        ]

        def claims() -> list[set[bytes]]:
            return [{claim.user_data for claim in p.claims.values()} for p in policies]

        with polling(*members):
            eventually(lambda: {b"first", b"second"} in claims())
            eventually(lambda: all(listener.partitions is not None for listener in listeners))

        assert sorted(len(listener.partitions or ()) for listener in listeners) == [0, 2]

    def test_empty_assignment_bytes_mean_no_partitions(self, own, hero) -> None:
        listener = Listener()
        member = own.member("heroes", hero, listener=listener)
        # As after kafkajs's leader, which leaves out the members that get nothing.
        member.unwrap()._coordinator._perform_assignment = lambda _, __, members: {
            member_id: b"" for member_id, *_ in members
        }

        with polling(member):
            eventually(lambda: listener.assigned)

        assert listener.assigned[-1] == ([], member.generation)

    def test_foreign_topics_in_an_assignment_are_dropped(self, own, own_broker, hero) -> None:
        class ForeignTopics(Policy):
            def assign(self, members, partitions):
                return {member: {"foreign": [0, 1], hero: [1]} for member in members}

        own_broker.create_topic("foreign", 2)
        listener = Listener()

        member = own.member("heroes", hero, policy=ForeignTopics(), listener=listener)

        with polling(member):
            eventually(lambda: listener.assigned)

        assert listener.assigned[-1] == ([TopicPartition(hero, 1)], member.generation)

    @pytest.mark.parametrize("junk", [b"", b"\xff", b"\x00\x01\x7f\xff\xff\xff", b"junk" * 20])
    def test_metadata_of_a_member_that_nobody_can_read_harms_nobody(self, own, hero, junk) -> None:
        leader, stranger = Listener(), Listener()
        policy = Policy()
        member = own.joined("heroes", hero, listener=leader, policy=policy)
        other = own.member("heroes", hero, listener=stranger)
        (assignor,) = other.unwrap()._coordinator.config["assignors"]
        assignor.metadata = lambda topics: junk

        with polling(member, other) as errors:
            eventually(lambda: stranger.assigned and len(leader.assigned) >= 2)

        assert len(policy.claims) == 2
        assert not any(isinstance(error, GroupError) for error in errors)


def test_base_may_be_polled_by_users_and_still_reads_nothing(own, hero) -> None:
    produce(own.producer(), hero, b"x", b"y")
    member = own.joined("heroes", hero)
    reader = own.reader({HERO: 0})

    for _ in range(3):
        assert member.unwrap().poll(20) == {}

    eventually(lambda: reader.poll(0.05, all_room))
