"""Requests that name a reply topic that does not exist, where brokers create none by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import CORRELATION_ID, REPLY_TOPIC, Headers, Wire
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

STRANGERS = 60


@pytest.fixture(scope="module")
def strict(kafka_version: str) -> Iterator[TestBroker]:
    """Apache Kafka that creates no topic because somebody asks for it."""
    properties = {"auto.create.topics.enable": "false"}
    with KafkaServer(version=kafka_version, properties=properties) as server:
        tuning = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
        yield TestBroker(server, is_real=True, consumer_tuning=tuning)


@pytest.fixture
def strict_peers(strict: TestBroker) -> Iterator[Peers]:
    with closing(Peers(strict)) as peers:
        yield peers


@pytest.fixture
def strict_wire(strict: TestBroker) -> Iterator[Wire]:
    with closing(Wire(strict.bootstrap_servers)) as wire:
        yield wire


def address(reply_topic: str) -> Headers:
    return [(CORRELATION_ID, b"id"), (REPLY_TOPIC, reply_topic.encode())]


@pytest.mark.parametrize("name", ["nowhere.reply", "nowhere.{}.reply"], ids=["one", "many"])
def test_requests_with_missing_reply_topics_hold_up_no_others(
    strict_peers: Peers, strict_wire: Wire, name: str
):
    topic = strict_peers.topic(replies=1)
    server = strict_peers.server(run={"max_in_flight": 10})
    server.message_pattern(topic)(lambda payload: payload)

    with server, strict_peers.client(topic) as client:
        assert client.send(topic, "before", timeout=PATIENCE) == "before"
        for number in range(STRANGERS):
            strict_wire.produce(topic, b"x", headers=address(name.format(number)))

        # Six times as many as may be in flight, each of which was held for a minute.
        assert client.send(topic, "meanwhile", timeout=20) == "meanwhile"

        # They are finished: nobody can be told.
        eventually(
            lambda: strict_wire.committed(server.group_id, topic) == {0: STRANGERS + 2}, PATIENCE
        )
        counters = server.health().counters
        assert counters["replies_failed"] == STRANGERS
        assert counters["replies_sent"] == 2


def test_reply_waits_for_a_topic_that_is_being_created(
    strict: TestBroker, strict_peers: Peers, strict_wire: Wire
):
    topic = strict_peers.topic()
    replies = strict.unique("late") + ".reply"
    asked: list[object] = []
    server = strict_peers.server()

    @server.message_pattern(topic)
    def answer(payload):
        asked.append(payload)
        return payload

    with server:
        strict_wire.produce(topic, b"hero", headers=address(replies))
        eventually(lambda: asked, PATIENCE)
        strict.create_topic(replies, 1)

        eventually(lambda: strict_wire.records(replies), PATIENCE)


def test_topic_that_was_missing_gets_replies_once_it_is_there(
    strict: TestBroker, strict_peers: Peers, strict_wire: Wire
):
    topic = strict_peers.topic()
    replies = strict.unique("late") + ".reply"
    server = strict_peers.server()
    server.message_pattern(topic)(lambda payload: payload)

    with server:
        strict_wire.produce(topic, b"early", headers=address(replies))
        eventually(lambda: server.health().counters.get("replies_failed"), PATIENCE)

        strict.create_topic(replies, 1)
        strict_wire.produce(topic, b"late", headers=address(replies))

        eventually(lambda: strict_wire.records(replies), PATIENCE)
    assert [reply.value for reply in strict_wire.records(replies)] == [b"late"]
