"""A join that is broken off: at once, and nobody in the group waits for who is not there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns.errors import TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.testing import ApiKey
from kafka_patterns.transport.base import BrokenOff
from kafka_patterns.transport.kafka_python.member import KafkaMember
from tests.support.waiting import eventually
from tests.transport.error_codes import REBALANCE_IN_PROGRESS
from tests.transport.parts import Listener, Parts, polling

SLOW_GROUP = {"session_timeout_ms": 30_000, "max_poll_interval_ms": 60_000}
AT_ONCE_SECONDS = 10.0
"""Much less than the group would wait for its members."""


def is_joining(member: KafkaMember) -> bool:
    """Whether the broker has been asked, and owes the answer."""
    coordinator = member.unwrap()._coordinator
    in_flight = member.unwrap()._client.in_flight_request_count(coordinator.coordinator_id)
    return coordinator.join_future is not None and bool(in_flight)


def poll_for_ever(member: KafkaMember) -> None:
    while True:
        with contextlib.suppress(TransportError):
            member.poll(0.1)


def break_off(member: KafkaMember) -> None:
    """Break off the join that *member* begins with its next poll."""
    with ThreadPoolExecutor(1) as thread:
        joining = thread.submit(poll_for_ever, member)
        eventually(lambda: is_joining(member), describe="the join")
        member.break_off_join()
        with pytest.raises(BrokenOff):
            joining.result(AT_ONCE_SECONDS)


@pytest.mark.real_kafka
def test_group_does_not_wait_for_a_member_whose_first_join_was_broken_off(parts, broker) -> None:
    topic = broker.create_topic(broker.unique("hero"), 2)
    group = broker.unique("heroes")
    listener = Listener()
    first = parts.joined(group, topic, listener=listener, consumer=SLOW_GROUP)
    newcomer = parts.member(group, topic, consumer=SLOW_GROUP)
    break_off(newcomer)  # it waits for the first, which nobody polls

    newcomer.close(5)
    began = time.monotonic()
    with polling(first):
        eventually(lambda: len(listener.assigned) > 1 or not first.rejoin_needed)
        generation = first.generation

        # The session of who left would be over in 30 seconds, and the group rebalance.
        eventually(lambda: first.seconds_since_contact < 1)
        assert listener.partitions == [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert first.generation == generation

    assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.mark.real_kafka
def test_member_whose_join_was_broken_off_may_still_commit(parts, broker) -> None:
    topic = broker.create_topic(broker.unique("hero"), 2)
    group = broker.unique("heroes")
    place = TopicPartition(topic, 0)
    first = parts.joined(group, topic, consumer=SLOW_GROUP)
    second = parts.member(group, topic, consumer=SLOW_GROUP)
    listener = Listener()
    with polling(first, second):
        eventually(lambda: second.generation == first.generation > 0)
    newcomer = parts.member(group, topic, listener=listener, consumer=SLOW_GROUP)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(poll_for_ever, newcomer)
        eventually(lambda: second.rejoin_needed, describe="the rebalance")

        break_off(second)  # it waits for the first
        second.commit_now({place: OffsetAndMetadata(7)}, 5)
        second.close(5)

        newcomer.break_off_join()
        with pytest.raises(BrokenOff):
            waiting.result(AT_ONCE_SECONDS)
    newcomer.close(5)
    with polling(first):
        eventually(lambda: not first.rejoin_needed)
    assert first.committed([place], 5) == {place: OffsetAndMetadata(7)}


def hang_in_the_offsets(member: KafkaMember) -> None:
    member.committed([TopicPartition("hero", 0)], 60)


@pytest.mark.parametrize("hang", [hang_in_the_offsets, poll_for_ever])
def test_wait_for_the_group_is_broken_off_at_once(
    own: Parts, own_broker, hero, hang: Callable[[KafkaMember], None]
) -> None:
    member = own.joined("heroes", hero, client={"request_timeout_ms": 60_000}, consumer=SLOW_GROUP)
    own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)
    eventually(lambda: member.rejoin_needed)
    own_broker.freeze()

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(hang, member)
        eventually(lambda: member.unwrap()._client.in_flight_request_count() > 0)
        member.break_off_join()
        with pytest.raises(BrokenOff):
            waiting.result(AT_ONCE_SECONDS)


def test_commit_is_not_broken_off(own: Parts, hero) -> None:
    member = own.joined("heroes", hero)
    member.break_off_join()

    member.commit_now({TopicPartition(hero, 0): OffsetAndMetadata(3)}, 10)
    member.poll(0.05)
