"""Brokers and topics that go away under requests, and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException

from tests.reliability.commits import is_in_sync
from tests.support.kafka_server import KafkaCluster, KafkaServer
from tests.support.waiting import eventually

TIMEOUT = 5.0
IN_SYNC_SECONDS = 60.0
MODES = ["group", "direct"]


@pytest.fixture
def cluster(kafka_version: str) -> Iterator[KafkaCluster]:
    """Three brokers, of which two must have a record before it counts."""
    with KafkaCluster(version=kafka_version, properties={"min.insync.replicas": "2"}) as cluster:
        yield cluster


@pytest.fixture
def strict_kafka(kafka_version: str) -> Iterator[KafkaServer]:
    """A broker that creates no topic because somebody asks about it."""
    properties = {"auto.create.topics.enable": "false"}
    with KafkaServer(version=kafka_version, properties=properties) as server:
        yield server


def pass_time(seconds: float) -> None:
    """Let so much time pass: how long an outage lasts is part of the scenario."""
    threading.Event().wait(seconds)


def test_every_request_ends_while_a_broker_is_stopped_and_started(make_callers, kafka, scale):
    callers = make_callers("broker stopped and started", kafka)
    callers.start_server()
    clients = [callers.start_client(timeout=TIMEOUT, reply={"mode": mode}) for mode in MODES]
    for client in clients:
        callers.wait_for_replies(client, threads=10)

    kafka.stop()
    pass_time(scale.outage_seconds)
    kafka.start()
    back = time.monotonic()
    for client in clients:
        callers.wait_for_replies(client, threads=10)
    recovered = time.monotonic() - back
    for client in clients:
        callers.leave(client)

    callers.conclude(
        fact=f"all threads answered again {recovered:.1f} s after the start", may_fail=True
    )


def test_every_request_ends_while_one_broker_of_three_is_killed(make_callers, cluster, scale):
    callers = make_callers("one broker of three killed", cluster, partitions=6)
    callers.start_server()
    clients = [callers.start_client(timeout=TIMEOUT, reply={"mode": mode}) for mode in MODES]
    for client in clients:
        callers.wait_for_replies(client, threads=10)

    longest = 0.0
    for node in cluster.nodes[: scale.broker_kills]:
        began = time.monotonic()
        node.kill()
        for client in clients:
            callers.wait_for_replies(client, threads=10)
        longest = max(longest, time.monotonic() - began)
        node.start()
        cluster.wait_until_ready()
        eventually(
            lambda: is_in_sync(cluster.bootstrap_servers, replicas=3),
            IN_SYNC_SECONDS,
            retry_on=KafkaException,
        )
    for client in clients:
        callers.leave(client)

    callers.conclude(
        fact=f"{scale.broker_kills} killed in turn; all threads answered again in {longest:.1f} s",
        may_fail=True,
    )


@pytest.mark.parametrize("mode", MODES)
def test_reply_topic_may_be_deleted_and_made_again(make_callers, strict_kafka, scale, mode):
    callers = make_callers(f"reply topic made again, {mode}", strict_kafka, reply_partitions=2)
    callers.start_server()
    client = callers.start_client(timeout=TIMEOUT, reply={"mode": mode})
    callers.wait_for_replies(client, threads=10)

    longest = 0.0
    for _ in range(scale.topic_deletions):
        strict_kafka.delete_topic(callers.reply_topic)
        strict_kafka.create_topic(callers.reply_topic, callers.reply_partitions)
        back = time.monotonic()
        callers.wait_for_replies(client, threads=10)
        longest = max(longest, time.monotonic() - back)
    callers.leave(client)

    callers.conclude(
        fact=f"made again {scale.topic_deletions} times; all threads answered in {longest:.1f} s",
        may_fail=True,
    )
