"""Brokers that go away under load, and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException

from tests.reliability.commits import is_in_sync
from tests.reliability.journal import STARTED
from tests.reliability.replies import read_replies, request_headers
from tests.reliability.scenario import Scenario
from tests.support.kafka_server import KafkaCluster
from tests.support.waiting import eventually

HANDLER_SECONDS = (0.02, 0.1)
REPLY_SECONDS = 60.0
IN_SYNC_SECONDS = 60.0


@pytest.fixture
def cluster(kafka_version: str) -> Iterator[KafkaCluster]:
    """Three brokers, of which two must have a record before it counts."""
    with KafkaCluster(version=kafka_version, properties={"min.insync.replicas": "2"}) as cluster:
        yield cluster


def pass_time(seconds: float) -> None:
    """Let so much time pass: how long an outage lasts is part of the scenario."""
    threading.Event().wait(seconds)


def test_broker_stopped_and_started_under_load(make_scenario, kafka, scale):
    scenario = make_scenario("broker stopped and started", kafka)
    workers = [scenario.start_worker(seconds=HANDLER_SECONDS) for _ in range(2)]
    scenario.load.start(rate=200)
    scenario.wait_until_running(workers[0])

    began = time.monotonic()
    kafka.stop()
    pass_time(scale.outage_seconds)
    kafka.start()
    back = time.monotonic()
    scenario.add_loss(began)
    scenario.wait_until_handled_since(back)
    recovered = time.monotonic() - back
    scenario.load.stop()
    scenario.wait_until_handled()
    for worker in workers:
        assert worker.is_running
        scenario.drain(worker)

    scenario.wait_until_committed()
    scenario.conclude(fact=f"handled again {recovered:.1f} s after the start")


def test_one_broker_of_three_killed_under_load(make_scenario, cluster, scale):
    scenario = make_scenario("one broker of three killed", cluster, partitions=6)
    workers = [scenario.start_worker(seconds=HANDLER_SECONDS) for _ in range(2)]
    scenario.load.start(rate=200)
    scenario.wait_until_running(workers[0])

    longest = 0.0
    # The group's coordinator first; it leads partitions of the topic as well.
    coordinator = scenario.group.coordinator()
    nodes = sorted(cluster.nodes, key=lambda node: node.bootstrap_server != coordinator)
    for node in nodes[: scale.broker_kills]:
        began = time.monotonic()
        node.kill()
        scenario.wait_until_handled_since(began, partitions=6)
        longest = max(longest, time.monotonic() - began)
        scenario.add_loss(began)
        node.start()
        cluster.wait_until_ready()
        eventually(
            lambda: is_in_sync(cluster.bootstrap_servers, replicas=3),
            IN_SYNC_SECONDS,
            retry_on=KafkaException,
        )
    scenario.load.stop()
    scenario.wait_until_handled()
    for worker in workers:
        scenario.drain(worker)

    scenario.wait_until_committed()
    scenario.conclude(
        fact=f"{scale.broker_kills} killed in turn; all partitions went on in {longest:.1f} s"
    )


def test_replies_survive_kills_of_the_broker(make_scenario, kafka, scale):
    scenario = make_scenario("broker killed while replying", kafka)
    reply_topic = f"{scenario.topic}.reply"
    kafka.create_topic(reply_topic, 2)
    worker = scenario.start_worker(seconds=(0.0, 0.02), replies=True)
    asked = 0
    for _ in range(3):
        started = scenario.journal.count(STARTED)
        for _ in range(300):
            scenario.load.request(request_headers(reply_topic, asked), reply_bytes=100)
            asked += 1
        too_large = 2_000_000  # for producer.max_request_size of the worker
        scenario.load.request(request_headers(reply_topic, asked), reply_bytes=too_large)
        asked += 1
        # Not until one is seen running: a quick worker may be through with all of them.
        wait_for_starts(scenario, started + 1)
        began = time.monotonic()
        kafka.kill()
        kafka.start()
        scenario.add_loss(began)
    scenario.load.flush()
    scenario.drain_all(worker, REPLY_SECONDS)

    replies = read_replies(kafka.bootstrap_servers, reply_topic)
    answered = {reply.number for reply in replies if reply.error is None}
    refused = {reply.number: reply.error for reply in replies if reply.error is not None}
    extra = len(replies) - len(answered) - len(refused)
    scenario.conclude(fact=f"{asked} requests: {len(replies)} replies, {extra} of them twice")
    assert answered | refused.keys() == set(range(asked))
    assert sorted(refused) == [300, 601, 902]
    assert all(b"MessageSizeTooLargeError" in error for error in refused.values())


def wait_for_starts(scenario: Scenario, count: int) -> None:
    eventually(lambda: scenario.journal.count(STARTED) >= count, 60.0, describe=f"{count} starts")
