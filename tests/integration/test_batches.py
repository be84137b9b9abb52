"""Handlers that get many events at once."""

from __future__ import annotations

import math

import attrs
import pytest

from kafka_patterns import Batch, BatchItemFailed, ConfigurationError, KafkaContext
from tests.integration.peers import PATIENCE, Peers
from tests.support.waiting import eventually


@attrs.define
class Entered:
    id: int


def test_batch_is_full_or_its_first_event_waited_long_enough(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    batches = []

    @server.event_pattern(topic, batch=Batch(max_size=4, max_wait=0.2))
    def entered(events: list[int], context: KafkaContext):
        batches.append((events, [message.offset for message in context.messages]))

    with server:
        for number in range(6):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 6})

    assert [number for events, _ in batches for number in events] == list(range(6))
    assert [offset for _, offsets in batches for offset in offsets] == list(range(6))
    assert max(len(events) for events, _ in batches) <= 4


@pytest.mark.parametrize(
    "run", [{"max_in_flight": 4}, {"max_in_flight": 8}, {"max_in_flight_bytes": 8_000}]
)
@pytest.mark.parametrize("max_wait", [PATIENCE, math.inf])
def test_batch_waits_for_no_more_than_its_partition_may_hold(
    peers: Peers, wire, run: dict[str, int], max_wait: float
):
    topic = peers.topic(partitions=2)
    server = peers.server(run=run)
    batches = []

    @server.event_pattern(topic, batch=Batch(max_size=100, max_wait=max_wait))
    def entered(events: list[str]):
        batches.append(len(events))

    with server:
        for number in range(40):
            wire.produce(topic, b"%d" % number * 500, partition=number % 2)
        # The last ones have room, and wait for others.
        eventually(lambda: sum(batches) >= 40 - 2 * max(batches), PATIENCE / 2)

    assert max(batches) <= 20


def test_payloads_of_a_batch_are_structured(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic, batch=Batch(max_size=2, max_wait=PATIENCE))
    def entered(events: list[Entered]):
        seen.extend(events)

    client = peers.client()
    with server:
        client.emit_batch(topic, [{"id": 1}, {"id": 2}])
        eventually(lambda: seen == [Entered(1), Entered(2)])


def test_failed_item_finishes_those_before_it_and_is_retried(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    batches = []

    @server.event_pattern(topic, batch=Batch(max_size=4, max_wait=PATIENCE))
    def entered(events: list[int]):
        batches.append(events)
        if len(batches) == 1:
            raise BatchItemFailed(events.index(2), ValueError("two"))

    client = peers.client()
    with server:
        client.emit_batch(topic, [0, 1, 2, 3])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})
        client.emit_batch(topic, [4, 5])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 6})

    assert batches == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_batch_that_fails_as_a_whole_is_retried_as_a_whole(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server()
    batches = []

    @server.event_pattern(topic, batch=Batch(max_size=3, max_wait=PATIENCE))
    def entered(events: list[int]):
        batches.append(events)
        if len(batches) == 1:
            raise ValueError("all of it")

    client = peers.client()
    with server:
        client.emit_batch(topic, [0, 1, 2])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})

    assert batches == [[0, 1, 2], [0, 1, 2]]


def test_unreadable_payload_does_not_take_its_neighbours_with_it(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server(run={"on_poison": "skip"})
    seen = []

    @server.event_pattern(topic, batch=Batch(max_size=10, max_wait=0.05))
    def entered(events: list[int]):
        seen.extend(events)

    with server:
        for value in (b"1", b"2", b"no number", b"4"):
            wire.produce(topic, value)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4})

    assert seen == [1, 2, 4]


def test_commit_of_a_batch_is_one_commit(peers: Peers, wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    commits: list[object] = []

    @server.event_pattern(topic, batch=Batch(max_size=50, max_wait=PATIENCE))
    def entered(events: list[int], context: KafkaContext):
        server.run_on_consumer_thread(lambda consumer: count_commits(consumer, commits))
        context.commit()

    client = peers.client()
    with server:
        client.emit_batch(topic, list(range(50)))
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 50}, PATIENCE)

    assert len(commits) == 1


def count_commits(consumer, commits):
    coordinator = consumer._coordinator
    send = coordinator._send_offset_commit_request

    def send_and_count(offsets):
        commits.append(offsets)
        return send(offsets)

    coordinator._send_offset_commit_request = send_and_count


def test_batch_handler_stands_alone_and_takes_a_list(peers: Peers):
    server = peers.server()

    @server.event_pattern("alone", batch=Batch())
    def entered(events):
        pass

    with pytest.raises(ConfigurationError, match="only handler"):
        server.event_pattern("alone")(lambda event: None)
    with pytest.raises(ConfigurationError, match=r"write list\[\.\.\.\]"):

        @server.event_pattern("typed", batch=Batch())
        def typed(event: Entered):
            pass

    with pytest.raises(ConfigurationError, match="order of their partition"):
        server.event_pattern("keyed", ordering="key", batch=Batch())
