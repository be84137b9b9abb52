"""A topic that is deleted and made again while a server reads it is read from its beginning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from kafka_patterns import KafkaContext, TopicPartition
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def strict_kafka(kafka_version: str) -> Iterator[KafkaServer]:
    """Kafka that makes no topic by itself when somebody asks for one."""
    properties = {"auto.create.topics.enable": "false"}
    with KafkaServer(version=kafka_version, properties=properties) as server:
        yield server


@pytest.fixture
def strict_peers(strict_kafka: KafkaServer) -> Iterator[Peers]:
    tuning = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
    peers = Peers(TestBroker(strict_kafka, is_real=True, consumer_tuning=tuning))
    yield peers
    peers.close()


# Of what is written to the new topic, nothing is below the old position, some, or all.
@pytest.mark.parametrize(("before", "after"), [(0, 3), (5, 2), (3, 6)])
def test_topic_made_again_is_read_from_its_beginning_which_is_committed_first(
    strict_kafka: KafkaServer, strict_peers: Peers, before: int, after: int
):
    topic = strict_peers.topic()
    server = strict_peers.server(run={"auto_commit_interval_ms": 100})
    seen: list[tuple[str, int | None]] = []

    @server.event_pattern(topic)
    def note(event: str, context: KafkaContext) -> None:
        partition = TopicPartition(context.topic, context.partition)
        seen.append((event, context.consumer.committed([partition])[partition]))

    def events() -> list[str]:
        return [event for event, _ in seen]

    with contextlib.closing(Wire(strict_kafka.bootstrap_servers)) as wire, server:
        for number in range(before):
            wire.produce(topic, b"old-%d" % number)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: before}, PATIENCE)

        strict_kafka.delete_topic(topic)
        strict_kafka.create_topic(topic)
        with contextlib.closing(Wire(strict_kafka.bootstrap_servers)) as anew:
            for number in range(after):
                anew.produce(topic, b"new-%d" % number)
            new = [f"new-{number}" for number in range(after)]
            eventually(lambda: events()[before:] == new, PATIENCE, describe=lambda: f"{seen}")
            eventually(lambda: anew.committed(server.group_id, topic) == {0: after}, PATIENCE)

    assert seen[before] == ("new-0", 0)
