"""The same key lands on the same partition as from NestJS and from Java."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_patterns import Message
from tests.golden import rows, untagged
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually


@pytest.mark.parametrize("count", [3, 12])
@pytest.mark.parametrize("table", ["partitions", "partitions_java"])
def test_keys_land_where_nestjs_and_java_put_them(peers: Peers, wire: Wire, table, count):
    topic = peers.topic(partitions=count)
    golden = rows(table)
    keys = [
        untagged(row["key"]) if "key" in row else bytes.fromhex(row["encoded"]) for row in golden
    ]

    with peers.client() as client:
        placed = client.emit_batch(topic, [Message(key=key, value=str(key)) for key in keys])

    assert [metadata.partition for metadata in placed] == [
        row["partitions"][row["counts"].index(count)] for row in golden
    ]
    on_the_wire = {(record.partition, record.offset): record.key for record in wire.records(topic)}
    assert [on_the_wire[metadata.partition, metadata.offset] for metadata in placed] == [
        bytes.fromhex(row["encoded"]) for row in golden
    ]


def test_a_key_as_text_int_bytes_or_object_is_the_same_key(peers: Peers):
    topic = peers.topic(partitions=12)
    same: list[list[Any]] = [
        ["42", 42, b"42"],
        ['{"id":1}', {"id": 1}, b'{"id":1}'],
        ["[1]", [1], (1,)],
    ]

    with peers.client() as client:
        for keys in same:
            placed = client.emit_batch(topic, [Message(key=key, value="x") for key in keys])
            assert len({metadata.partition for metadata in placed}) == 1


def test_topics_with_equally_many_partitions_are_co_partitioned(peers: Peers):
    requests, events = peers.topic(partitions=5, replies=1), peers.topic(partitions=5)
    server = peers.server()
    seen: dict[str, dict[str, int]] = {requests: {}, events: {}}

    @server.message_pattern(requests)
    def ask(payload, context):
        seen[requests][context.message.key] = context.partition

    @server.event_pattern(events)
    def entered(event, context):
        seen[events][context.message.key] = context.partition

    keys = [f"hero-{number}" for number in range(20)]
    with server, peers.client(requests) as client:
        for key in keys:
            client.send(requests, {"key": key, "value": 1}, timeout=PATIENCE)
        client.emit_batch(events, [{"key": key, "value": 1} for key in keys])
        eventually(lambda: len(seen[events]) == len(keys))

    assert seen[requests] == seen[events]
    assert len(set(seen[events].values())) == 5


def test_messages_without_a_key_go_round(peers: Peers):
    topic = peers.topic(partitions=3)

    with peers.client() as client:
        placed = client.emit_batch(topic, ["hero"] * 6)

    assert sorted(metadata.partition for metadata in placed) == [0, 0, 1, 1, 2, 2]


def test_a_fixed_partition_goes_before_the_key(peers: Peers):
    topic = peers.topic(partitions=3)

    with peers.client() as client:
        placed = [client.emit(topic, Message(key="k", value=1, partition=n)) for n in (2, 0, 1)]

    assert [metadata.partition for metadata in placed] == [2, 0, 1]
