"""The objects below: thread-safe faces of them, and kafka-python's own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka import KafkaConsumer, KafkaProducer

from kafka_patterns import Message, NotConnected, SendFailed, TopicPartition
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire


def make(peers: Peers, kind, pattern):
    if kind == "client":
        return peers.client(pattern)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    return server


both_kinds = pytest.mark.parametrize("kind", ["client", "server"])


@both_kinds
def test_producer_sends_what_this_peer_would_write(peers: Peers, wire: Wire, kind):
    pattern, topic = peers.topic(replies=1), peers.topic()

    with make(peers, kind, pattern) as peer:
        placed = peer.producer.send(topic, Message(key="k", value={"id": 1}, headers={"h": "v"}))
        future = peer.producer.send_future(topic, "text")
        assert peer.producer.flush(PATIENCE)
        assert future.done()

    assert (placed.topic, placed.partition, placed.offset) == (topic, 0, 0)
    assert future.result(0).offset == 1
    written = [(record.key, record.value, record.headers) for record in wire.records(topic)]
    assert written == [(b"k", b'{"id":1}', [("h", b"v")]), (None, b"text", [])]


def test_producer_fails_like_the_peer(peers: Peers):
    topic = peers.topic()

    with peers.client() as client, pytest.raises(SendFailed, match="has no partition 7"):
        client.producer.send(topic, Message(value="x", partition=7))


@both_kinds
def test_consumer_reads_and_writes_the_offsets_of_the_group(peers: Peers, wire: Wire, kind):
    pattern = peers.topic(replies=1)
    other = TopicPartition(peers.topic(partitions=2), 1)

    with make(peers, kind, pattern) as peer:
        assert peer.consumer.committed([other]) == {other: None}
        peer.consumer.commit_offsets({other: 3})
        assert peer.consumer.committed([other]) == {other: 3}

    assert wire.committed(peer.group_id, other.topic) == {1: 3}


@both_kinds
def test_any_thread_may_use_the_drivers(peers: Peers, wire: Wire, kind):
    pattern, topic = peers.topic(replies=1), peers.topic()
    partition = TopicPartition(topic, 0)

    with make(peers, kind, pattern) as peer, ThreadPoolExecutor(8) as executor:

        def work(number):
            peer.producer.send(topic, number)
            peer.consumer.commit_offsets({partition: number})
            return peer.run_on_consumer_thread(lambda consumer: threading.current_thread().name)

        names = set(executor.map(work, range(40)))
        assert 0 <= peer.consumer.committed([partition])[partition] < 40

    assert names == {f"kafka-patterns-hero-{kind}-member"}
    written = sorted(record.value or b"" for record in wire.records(topic))
    assert written == sorted(b"%d" % number for number in range(40))


@both_kinds
def test_function_runs_with_the_consumer_in_the_thread_that_owns_it(
    peers: Peers, kind, gate: threading.Event
):
    pattern = peers.topic(replies=1)

    with make(peers, kind, pattern) as peer:
        found = peer.run_on_consumer_thread(
            lambda consumer: (
                type(consumer),
                consumer.subscription(),
                threading.current_thread().name,
            ),
            timeout=PATIENCE,
        )
        with pytest.raises(ZeroDivisionError):
            peer.run_on_consumer_thread(lambda consumer: 1 / 0)
        with pytest.raises(TimeoutError):
            peer.run_on_consumer_thread(lambda consumer: gate.wait(PATIENCE), timeout=0.05)
        gate.set()

    subscribed = pattern if kind == "server" else f"{pattern}.reply"
    assert found == (KafkaConsumer, {subscribed}, f"kafka-patterns-hero-{kind}-member")


@both_kinds
def test_unwrap_gives_the_objects_of_kafka_python(peers: Peers, kind):
    pattern = peers.topic(replies=1)

    with make(peers, kind, pattern) as peer:
        producer, member, fetcher = peer.unwrap()
        assert isinstance(producer, KafkaProducer)
        assert isinstance(member, KafkaConsumer)
        assert isinstance(fetcher, KafkaConsumer)
        assert peer.producer.unwrap() is producer
        assert peer.consumer.unwrap() == (member, fetcher)
        assert member.config["group_id"] == peer.group_id
        assert fetcher.config["group_id"] is None


@both_kinds
def test_before_the_start_and_after_the_end_there_is_nothing(peers: Peers, kind):
    peer = make(peers, kind, peers.topic(replies=1))

    def all_refused():
        for ask in (
            lambda: peer.producer,
            lambda: peer.consumer,
            peer.unwrap,
            lambda: peer.run_on_consumer_thread(lambda consumer: None),
        ):
            with pytest.raises(NotConnected, match=r"(start|connect)\(\)"):
                ask()

    all_refused()
    with peer:
        producer, consumer = peer.producer, peer.consumer
    all_refused()
    with pytest.raises(SendFailed, match="closed"):
        producer.send("hero", 1)
    with pytest.raises(NotConnected, match="has ended"):
        consumer.committed([TopicPartition("hero", 0)])
