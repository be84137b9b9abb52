"""Reply topics are made on request, and an error says the command if they cannot be."""

from __future__ import annotations

import re

import pytest

from kafka_patterns import ConfigurationError, ReplyTopicError
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire


@pytest.mark.real_kafka
@pytest.mark.parametrize("connected", [False, True])
def test_missing_topics_are_created_and_small_ones_grow(peers: Peers, wire: Wire, connected):
    new, small, large = peers.topic(), peers.topic(replies=1), peers.topic(replies=4)
    server = peers.server()
    server.message_pattern(new)(lambda payload: payload)
    client = peers.client(small, large)
    if connected:
        client.connect()
        client.subscribe_to_response_of(new)
    else:
        client.subscribe_to_response_of(new)

    client.ensure_reply_topics(partitions=3, replication_factor=1)
    client.ensure_reply_topics(partitions=2)

    sizes = [len(wire.ends(f"{pattern}.reply")) for pattern in (new, small, large)]
    assert sizes == [3, 3, 4]
    with server:
        assert client.send(new, "hero", timeout=PATIENCE) == "hero"


@pytest.mark.real_kafka
def test_refusal_of_the_broker_is_told_with_the_command(peers: Peers):
    client = peers.client(peers.topic())

    with pytest.raises(ReplyTopicError, match="InvalidReplicationFactor") as refusal:
        client.ensure_reply_topics(partitions=2, replication_factor=99)

    assert re.search(r"kafka-topics\.sh .* --create --topic .*\.reply", str(refusal.value))


def test_enough_partitions_need_nothing(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=2)

    peers.client(pattern).ensure_reply_topics(partitions=2)

    assert len(wire.ends(f"{pattern}.reply")) == 2


def test_broker_that_cannot_add_partitions_leaves_it_to_the_command(peers: Peers):
    if peers.broker.is_real:
        pytest.skip("Apache Kafka can")
    pattern = peers.topic(replies=1)

    with pytest.raises(ReplyTopicError) as refusal:
        peers.client(pattern).ensure_reply_topics(partitions=3)

    (broker,) = peers.broker.bootstrap_servers
    assert str(refusal.value).endswith(
        f"kafka-topics.sh --bootstrap-server {broker} --alter --topic {pattern}.reply "
        "--partitions 3"
    )


def test_broker_that_creates_topics_when_asked_may_do_so(peers: Peers, wire: Wire):
    pattern = peers.topic()
    if peers.broker.is_real:
        pytest.skip("Apache Kafka is asked to create it")

    peers.client(pattern).ensure_reply_topics(partitions=1)

    assert len(wire.ends(f"{pattern}.reply")) >= 1


def test_no_partition_at_all_is_refused(peers: Peers):
    with pytest.raises(ConfigurationError, match="partitions=0"):
        peers.client().ensure_reply_topics(partitions=0)
