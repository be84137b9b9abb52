"""Offsets without a record, as compaction and transactions leave them, hold up no commit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_patterns import KafkaContext
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(120)]

KEYS = 5
UPDATES = 20


@pytest.fixture
def compacting(kafka_version: str) -> Iterator[TestBroker]:
    """Apache Kafka that looks for something to compact all the time."""
    with KafkaServer(version=kafka_version, properties={"log.cleaner.backoff.ms": "100"}) as server:
        yield TestBroker(
            server,
            is_real=True,
            consumer_tuning={"session_timeout_ms": 6000, "heartbeat_interval_ms": 500},
        )


def create_compacted_topic(broker: TestBroker, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": ",".join(broker.bootstrap_servers)})
    config = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.0",
        "segment.ms": "100",
        "max.compaction.lag.ms": "1",
    }
    topic = broker.unique(name)
    created = admin.create_topics([NewTopic(topic, 1, 1, config=config)])
    created[topic].result(PATIENCE)
    return topic


def fill_and_compact(wire: Wire, topic: str) -> list[int]:
    """Write some keys often and some once, and wait until few records are left.

    :returns: their offsets.
    """
    for update in range(UPDATES):
        wire.produce(topic, b"once", key=b"once-%d" % update)
        for key in range(KEYS):
            wire.produce(topic, b"%d" % update, key=b"key-%d" % key)

    def is_compacted() -> list[int]:
        # Only what is in closed segments is compacted, and a record closes the one before.
        threading.Event().wait(0.2)
        wire.produce(topic, b"closing", key=b"closing")
        offsets = [record.offset for record in wire.records(topic)]
        return offsets if len(offsets) < KEYS * UPDATES // 2 else []

    return eventually(is_compacted, 2 * PATIENCE, describe="compaction")


def test_commit_moves_past_what_compaction_took(compacting: TestBroker):
    peers = Peers(compacting)
    topic = create_compacted_topic(compacting, "compacted")
    server = peers.server(subscribe={"from_beginning": True}, run={"ordering": "unordered"})
    seen: list[int] = []

    @server.event_pattern(topic)
    def note(event: object, context: KafkaContext) -> None:
        seen.append(context.message.offset)

    with contextlib.closing(Wire(compacting.bootstrap_servers)) as wire:
        left = fill_and_compact(wire, topic)
        with server:
            eventually(lambda: wire.committed(server.group_id, topic) == wire.ends(topic), PATIENCE)
            eventually(lambda: set(server.health().assignment.values()) == {0}, PATIENCE)
        still_left = {record.offset for record in wire.records(topic)}

    holes = set(range(left[0], left[-1])) - set(left)
    assert len(holes) > UPDATES
    assert still_left <= set(seen) <= set(left)
    assert len(seen) == len(set(seen))


def write_transactions(peers: Peers, topic: str, *transactions: tuple[str, list[str]]) -> None:
    """Write each list of events in a transaction, which ends as said."""
    producer = Producer(
        {
            "bootstrap.servers": ",".join(peers.broker.bootstrap_servers),
            "transactional.id": peers.broker.unique("writer"),
        }
    )
    producer.init_transactions(PATIENCE)
    for end, events in transactions:
        producer.begin_transaction()
        for event in events:
            producer.produce(topic, event.encode(), partition=0)
        producer.flush(PATIENCE)
        if end == "commit":
            producer.commit_transaction(PATIENCE)
        else:
            producer.abort_transaction(PATIENCE)


def test_commit_moves_past_the_markers_of_transactions(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(subscribe={"from_beginning": True})
    events = collect_events(server, topic)
    write_transactions(peers, topic, ("commit", ["one", "two"]), ("abort", ["taken back"]))

    with server:
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 5}, PATIENCE)
        write_transactions(peers, topic, ("commit", ["three"]), ("commit", ["four"]))
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 9}, PATIENCE)
        eventually(lambda: set(server.health().assignment.values()) == {0}, PATIENCE)

    # Isolation is read-uncommitted, as documented: what was taken back is seen.
    assert events == ["one", "two", "taken back", "three", "four"]


def test_marker_behind_an_unfinished_record_is_committed_with_it(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic()
    server = peers.server(subscribe={"from_beginning": True})
    events: list[str] = []

    @server.event_pattern(topic)
    def note(event: str) -> None:
        if event == "slow":
            assert gate.wait(PATIENCE)
        events.append(event)

    write_transactions(peers, topic, ("commit", ["fast", "slow"]))
    with server:
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
        assert events == ["fast"]
        gate.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3}, PATIENCE)
