"""What a handler learns of its message, and what it may do."""

from __future__ import annotations

import threading
import time

import pytest

from kafka_patterns import (
    IncomingMessage,
    KafkaContext,
    KafkaRetriableException,
    Message,
    PartitionLost,
    ServerKafka,
    TopicPartition,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import CORRELATION_ID, DEADLINE, Wire
from tests.support.waiting import eventually


def contexts_of(server: ServerKafka, topic: str) -> list[KafkaContext]:
    """The contexts of the events on *topic*, in their order."""
    seen: list[KafkaContext] = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        seen.append(context)

    return seen


def test_incoming_message_has_every_field_parsed_and_raw(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)
    server = peers.server()
    seen = contexts_of(server, topic)
    message = Message(
        value={"id": 1},
        key={"realm": "Nest"},
        headers=[("h", "text"), ("h", "[1]"), ("raw", b"\x00\xff")],
        partition=1,
        timestamp=1_700_000_000_123,
    )

    with server, peers.client() as client:
        client.emit(topic, Message(value="earlier", partition=1))
        client.emit(topic, message)
        eventually(lambda: len(seen) == 2)

    context = seen[1]
    assert (context.topic, context.partition, context.pattern) == (topic, 1, topic)
    assert context.message == IncomingMessage(
        topic=topic,
        partition=1,
        offset=1,
        timestamp=1_700_000_000_123,
        size=len('{"id":1}') + len('{"realm":"Nest"}'),
        attributes=0,
        key={"realm": "Nest"},
        value={"id": 1},
        headers={"h": "text,[1]", "raw": b"\x00\xff"},
        raw_key=b'{"realm":"Nest"}',
        raw_value=b'{"id":1}',
        raw_headers=[("h", b"text"), ("h", b"[1]"), ("raw", b"\x00\xff")],
    )
    assert type(context.message.offset) is int
    assert type(context.message.timestamp) is int


def test_value_of_a_tombstone_is_none(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = contexts_of(server, topic)

    with server:
        wire.produce(topic, None, key=b"gone")
        eventually(lambda: seen)

    (message,) = (context.message for context in seen)
    assert (message.key, message.value, message.raw_value, message.size) == ("gone", None, None, 4)


def test_context_of_a_request_knows_its_caller(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    seen = []

    @server.message_pattern(pattern)
    def kill_dragon(payload, context: KafkaContext):
        seen.append(context)

    with server, peers.client(pattern) as client:
        before = time.time()
        client.send(pattern, {}, timeout=PATIENCE)
        after = time.time()

    (context,) = seen
    (request,) = wire.records(pattern)
    assert context.correlation_id == request.header(CORRELATION_ID).decode()
    assert context.deadline == int(request.header(DEADLINE)) / 1000
    assert before - 0.001 <= context.deadline - PATIENCE <= after
    assert context.expects_reply
    assert context.attempt == 1
    assert context.handler.endswith("kill_dragon")


def test_context_of_an_event_has_no_caller(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = contexts_of(server, topic)

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: seen)

    (context,) = seen
    assert (context.correlation_id, context.deadline, context.expects_reply) == (None, None, False)


def test_binary_correlation_id_stays_bytes(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = contexts_of(server, topic)

    with server:
        wire.produce(topic, b"hero", headers=[(CORRELATION_ID, b"\xff" * 16)])
        wire.produce(topic, b"hero", headers=[(CORRELATION_ID, b"[1]")])
        eventually(lambda: len(seen) == 2)

    assert [context.correlation_id for context in seen] == [b"\xff" * 16, "[1]"]


def test_parameter_gets_the_context_by_annotation_or_by_name(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def by_annotation(event, kafka: KafkaContext):
        seen.append((event, kafka.topic))

    @server.event_pattern(topic)
    def by_name(event, context):
        seen.append((event, context.topic))

    @server.event_pattern(topic)
    def first_of_two(context, event):
        seen.append((event, context.topic))

    @server.event_pattern(topic)
    def alone(context):
        seen.append((context.message.value, context.topic))

    @server.event_pattern(topic)
    def without(event):
        seen.append((event, topic))

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert seen == [("hero", topic)] * 5


def test_attempt_counts_deliveries(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    attempts = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        attempts.append((event, context.attempt))
        if context.attempt < 3:
            raise KafkaRetriableException("again")

    with server:
        wire.produce(topic, b"first")
        wire.produce(topic, b"second", headers=[("retryCount", b"2")])
        wire.produce(topic, b"third", headers=[("retry-count", b"5")])
        wire.produce(topic, b"fourth", headers=[("retry_topic-attempts", b"\0\0\0\7")])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4})

    told = [("first", 1), ("first", 2), ("first", 3), ("second", 3), ("third", 6)]
    assert attempts == [*told, ("fourth", 1), ("fourth", 2), ("fourth", 3)]


def test_handler_sends_and_asks_through_its_context(peers: Peers, wire: Wire):
    topic, forwarded = peers.topic(), peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def forward(event, context: KafkaContext):
        place = context.producer.send(forwarded, Message(key="k", value=event))
        partition = TopicPartition(context.topic, context.partition)
        seen.append((place.offset, context.consumer.committed([partition])))

    with server:
        wire.produce(topic, b'{"id":1}')
        eventually(lambda: seen)

    assert seen == [(0, {TopicPartition(topic, 0): 0})]
    (record,) = wire.records(forwarded)
    assert (record.key, record.value) == (b"k", b'{"id":1}')


def test_commit_commits_what_is_finished_without_a_gap(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    done = []

    @server.event_pattern(topic, ordering="unordered")
    def entered(event, context: KafkaContext):
        if event == "first":
            assert gate.wait(PATIENCE)
        context.commit()
        done.append((event, wire_free_committed(context)))

    with server:
        wire.produce(topic, b"zero")
        eventually(lambda: len(done) == 1)
        wire.produce(topic, b"first")
        wire.produce(topic, b"second")
        eventually(lambda: len(done) == 2)
        assert done == [("zero", 1), ("second", 1)]

        gate.set()
        eventually(lambda: len(done) == 3)

    assert done[2] == ("first", 3)
    assert wire.committed(server.group_id, topic) == {0: 3}


def wire_free_committed(context):
    """The committed offset of the context's partition, asked in the handler's thread."""
    partition = TopicPartition(context.topic, context.partition)
    return context.consumer.committed([partition])[partition]


def test_commit_offsets_takes_the_next_offset_literally(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        entry = {"topic": context.topic, "partition": context.partition}
        # kafkajs gives offsets as texts.
        offset = str(context.message.offset) if event == "0" else context.message.offset + 1
        context.consumer.commit_offsets([{**entry, "offset": offset}])
        seen.append((event, wire_free_committed(context)))

    with server:
        for number in range(2):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: len(seen) == 2)

    assert seen == [("0", 0), ("1", 2)]


def test_heartbeat_is_silent_while_the_partition_is_ours(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    beats = threading.Event()

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        context.heartbeat()
        beats.set()

    with server:
        wire.produce(topic, b"hero")
        assert beats.wait(PATIENCE)


@pytest.mark.parametrize("act", ["heartbeat", "commit"])
def test_heartbeat_and_commit_tell_that_the_partition_went_to_another_member(
    peers: Peers, wire: Wire, act
):
    topic = peers.topic(partitions=2)
    both_run = threading.Barrier(3, timeout=PATIENCE)
    second_runs = threading.Event()
    told, redelivered = {}, []
    # What runs at a rebalance is waited for; not long here.
    first = peers.server(run={"rebalance_timeout_ms": 100})
    second = peers.server()

    @first.event_pattern(topic)
    def slow(event, context: KafkaContext):
        both_run.wait()
        assert second_runs.wait(PATIENCE)
        try:
            getattr(context, act)()
        except PartitionLost as error:
            told[context.partition] = str(error)

    @second.event_pattern(topic)
    def fast(event, context: KafkaContext):
        redelivered.append((event, context.partition))

    with first:
        wire.produce(topic, b"hero", partition=0)
        wire.produce(topic, b"hero", partition=1)
        both_run.wait()
        with second:
            eventually(lambda: redelivered, PATIENCE)
            second_runs.set()
            eventually(lambda: told)
            ((_, moved),) = redelivered
            eventually(lambda: wire.committed(first.group_id, topic) == {0: 1, 1: 1})

    assert list(told) == [moved]
    assert told[moved].startswith(f"partition {moved} of '{topic}' went to another member")
