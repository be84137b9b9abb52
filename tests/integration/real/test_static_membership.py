"""A member with a name of its own comes back to what it had, and nobody else notices."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns import GroupError, KafkaStatus, Message, ServerKafka
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(120)]

PARTITIONS = 4


def named(peers: Peers, topic: str, name: str, **sections) -> tuple[ServerKafka, list[str]]:
    """A started server with that ``group_instance_id``, and the events it is given."""
    tuning = {"group_instance_id": name, "session_timeout_ms": 60_000}
    server = peers.server(consumer=tuning, **sections)
    events = collect_events(server, topic)
    return server.start(), events


def assigned(server: ServerKafka) -> set[int]:
    return {partition.partition for partition in server.health().assignment}


def emit_one_to_each_partition(peers: Peers, topic: str, name: str) -> set[str]:
    events = [Message(value=f"{name}-{n}", partition=n) for n in range(PARTITIONS)]
    with peers.client() as client:
        client.emit_batch(topic, events)
    return {str(event.value) for event in events}


def generations(caplog: pytest.LogCaptureFixture) -> list[str]:
    return re.findall(r", generation (\d+):", caplog.text)


@pytest.mark.parametrize("restarted", ["leader", "follower"])
def test_quick_restart_makes_no_rebalance(peers: Peers, caplog, restarted):
    caplog.set_level(logging.INFO, "kafka_patterns.group")
    topic = peers.topic(partitions=PARTITIONS)
    leader, of_leader = named(peers, topic, "leader")
    follower, of_follower = named(peers, topic, "follower")
    eventually(lambda: len(assigned(leader)) == len(assigned(follower)) == PARTITIONS // 2)
    if restarted == "leader":
        leaving, steady, of_steady = leader, follower, of_follower
    else:
        leaving, steady, of_steady = follower, leader, of_leader
    share = assigned(leaving)
    changes: list[KafkaStatus] = []
    steady.status.subscribe(changes.append)
    eventually(lambda: changes == [KafkaStatus.CONNECTED])
    eventually(lambda: len(generations(caplog)) >= 2 and len(set(generations(caplog)[-2:])) == 1)
    told_before = len(generations(caplog))

    leaving.stop()
    emitted = emit_one_to_each_partition(peers, topic, "meanwhile")
    back, of_back = named(peers, topic, restarted)
    eventually(lambda: emitted <= {*of_steady, *of_back}, PATIENCE)

    assert assigned(back) == share
    assert {event for event in emitted if int(event[-1]) in share} == set(of_back)
    assert changes == [KafkaStatus.CONNECTED]
    told = generations(caplog)
    assert set(told[told_before:]) == {told[told_before - 1]}


def test_restarted_member_takes_part_in_the_next_rebalance(peers: Peers):
    topic = peers.topic(partitions=PARTITIONS)
    alone, _ = named(peers, topic, "alone")
    eventually(lambda: len(assigned(alone)) == PARTITIONS)
    alone.stop()
    back, of_back = named(peers, topic, "alone")
    eventually(lambda: len(assigned(back)) == PARTITIONS)

    newcomer, of_newcomer = named(peers, topic, "newcomer")
    eventually(lambda: len(assigned(back)) == len(assigned(newcomer)) == PARTITIONS // 2, PATIENCE)

    emitted = emit_one_to_each_partition(peers, topic, "shared")
    eventually(lambda: emitted <= {*of_back, *of_newcomer}, PATIENCE)
    assert of_back
    assert of_newcomer


def test_member_whose_double_comes_is_fenced_and_says_so(peers: Peers):
    topic = peers.topic(partitions=PARTITIONS)
    fenced = peers.server(consumer={"group_instance_id": "one"})
    collect_events(fenced, topic)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(fenced.run)
        assert fenced.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)

        _, of_double = named(peers, topic, "one")

        with pytest.raises(GroupError, match="another live member uses the same group_instance_id"):
            running.result(PATIENCE)
    emitted = emit_one_to_each_partition(peers, topic, "for the double")
    eventually(lambda: emitted <= set(of_double), PATIENCE)
