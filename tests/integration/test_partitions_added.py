"""Partitions that are added to a topic are read from their beginning, whatever the option."""

from __future__ import annotations

import contextlib
import re

import pytest

from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_kafka


@pytest.mark.parametrize("by_expression", [False, True], ids=["by_name", "by_expression"])
def test_added_partition_is_read_from_its_beginning(peers: Peers, wire: Wire, by_expression):
    topic = peers.topic()
    wire.produce(topic, b"before")
    server = peers.server(consumer={"metadata_max_age_ms": 3_000})
    seen = collect_events(server, re.compile(f"{topic}.?") if by_expression else topic)

    with server:
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
        kafka = peers.broker.backend
        assert isinstance(kafka, KafkaServer)
        kafka.add_partitions(topic, 3)
        # Before the server can know of them.
        with contextlib.closing(Wire(peers.broker.bootstrap_servers)) as knowing:
            for partition in range(3):
                knowing.produce(topic, b"%d" % partition, partition=partition)

            eventually(lambda: len(seen) >= 3, PATIENCE)
            through = {0: 2, 1: 1, 2: 1}
            eventually(lambda: knowing.committed(server.group_id, topic) == through, PATIENCE)

    assert sorted(seen) == ["0", "1", "2"]


def test_added_partition_that_a_later_instance_opens_first_is_read_from_its_beginning(
    peers: Peers, wire: Wire
):
    topic = peers.topic()
    wire.produce(topic, b"before")
    # It hears of the new partition long after the test.
    first = peers.server(consumer={"metadata_max_age_ms": 300_000})
    seen = collect_events(first, topic)
    with first:
        eventually(lambda: wire.committed(first.group_id, topic) == {0: 1}, PATIENCE)
        kafka = peers.broker.backend
        assert isinstance(kafka, KafkaServer)
        kafka.add_partitions(topic, 2)
        with contextlib.closing(Wire(peers.broker.bootstrap_servers)) as knowing:
            for number in range(10):
                knowing.produce(topic, b"%d" % number, partition=1)
            later = peers.server()
            seen_later = collect_events(later, topic)
            with later:
                through = {0: 1, 1: 10}
                eventually(
                    lambda: knowing.committed(later.group_id, topic) == through,
                    PATIENCE,
                    describe=lambda: f"{seen} {seen_later}",
                )

    assert [*seen, *seen_later] == [str(number) for number in range(10)]
