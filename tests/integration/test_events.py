"""Events: they end when the broker has them, or with SendFailed."""

from __future__ import annotations

import threading
import time

import pytest

from kafka_patterns import (
    ConfigurationError,
    KafkaContext,
    Message,
    PayloadError,
    RecordMetadata,
    SendFailed,
)
from tests.integration.outage import take_away
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually


def test_emit_returns_where_the_broker_put_the_event(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)

    with peers.client() as client:
        first = client.emit(topic, Message(value={"id": 1}, partition=1))
        second = client.emit(topic, Message(value={"id": 2}, partition=1))
        # The broker has them now, not a moment later.
        assert wire.ends(topic) == {0: 0, 1: 2}

    assert isinstance(first, RecordMetadata)
    assert (first.topic, first.partition, first.offset) == (topic, 1, 0)
    assert (second.topic, second.partition, second.offset) == (topic, 1, 1)


def test_event_is_stamped_with_the_time_it_was_emitted(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        before = time.time()
        client.emit(topic, {"id": 1})
        after = time.time()

    (record,) = wire.records(topic)
    assert before - 0.001 <= record.timestamp / 1000 <= after


@pytest.mark.real_kafka
def test_position_has_the_timestamp_of_the_record(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        now = client.emit(topic, {"id": 1})
        then = client.emit(topic, Message(value={"id": 2}, timestamp=1_700_000_000_123))

    assert [record.timestamp for record in wire.records(topic)] == [now.timestamp, then.timestamp]
    assert then.timestamp == 1_700_000_000_123


def test_event_has_no_headers_of_a_request(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        client.emit(topic, {"id": 1})
        client.emit(topic, {"value": {"id": 2}, "headers": {"realm": "Nest"}})

    assert [record.headers for record in wire.records(topic)] == [[], [("realm", b"Nest")]]


def test_event_reaches_its_handler(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        seen.append((event, context.message.offset, context.correlation_id, context.deadline))

    with server, peers.client() as client:
        client.emit(topic, {"id": 1})
        client.emit(topic, "text")
        eventually(lambda: len(seen) == 2)

    assert seen == [({"id": 1}, 0, None, None), ("text", 1, None, None)]


def test_what_an_event_handler_returns_is_dropped(peers: Peers, wire: Wire):
    topic = peers.topic(replies=1)
    server = peers.server()
    server.event_pattern(topic)(lambda event: "nobody asked")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert wire.ends(f"{topic}.reply") == {0: 0}


def test_emit_future_ends_when_the_broker_has_the_event(peers: Peers):
    topic = peers.topic()
    called_back = []

    with peers.client() as client:
        future = client.emit_future(topic, {"id": 1})
        future.add_done_callback(
            lambda done: called_back.append((done.result(), threading.current_thread().name))
        )
        metadata = future.result(PATIENCE)
        eventually(lambda: called_back)

    assert (metadata.partition, metadata.offset) == (0, 0)
    assert called_back == [(metadata, "kafka-patterns-hero-client-callbacks")]


def test_batch_returns_positions_in_the_order_of_its_items(peers: Peers, wire: Wire):
    topic = peers.topic()
    items = [{"id": 1}, "two", None, Message(key="k", value={"id": 4}, headers={"realm": "Nest"})]

    with peers.client() as client:
        placed = client.emit_batch(topic, iter(items))

    assert [(m.topic, m.partition, m.offset) for m in placed] == [(topic, 0, n) for n in range(4)]
    written = [(record.key, record.value, record.headers) for record in wire.records(topic)]
    assert written == [
        (None, b'{"id":1}', []),
        (None, b"two", []),
        (None, None, []),
        (b"k", b'{"id":4}', [("realm", b"Nest")]),
    ]


def test_large_batch_keeps_its_order(peers: Peers, wire: Wire):
    topic = peers.topic()
    items = [f"event-{number}" for number in range(2000)]

    with peers.client() as client:
        placed = client.emit_batch(topic, items)

    assert [metadata.offset for metadata in placed] == list(range(2000))
    assert [record.value for record in wire.records(topic)] == [item.encode() for item in items]


def test_emitting_never_waits_for_a_busy_network_thread(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        producer = client.producer.unwrap()
        # As long as this is held, nobody reads the wake-ups of the network thread.
        with producer._sender._client._lock:
            futures = [client.emit_future(topic, number) for number in range(1000)]
        for future in futures:
            future.result(PATIENCE)

    assert wire.ends(topic) == {0: 1000}


def test_empty_batch_sends_nothing(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client:
        assert client.emit_batch(topic, []) == []

    assert wire.ends(topic) == {0: 0}


def test_batch_with_an_item_that_cannot_be_written_is_not_sent_at_all(peers: Peers, wire: Wire):
    topic = peers.topic()

    with peers.client() as client, pytest.raises(PayloadError, match="object"):
        client.emit_batch(topic, ["good", object(), "good"])

    assert wire.ends(topic) == {0: 0}


def test_batch_tells_the_outcome_of_each_item(peers: Peers, wire: Wire):
    topic = peers.topic()

    refused = pytest.raises(SendFailed, match=f"1 of 3 messages for topic '{topic}'")
    with peers.client(producer={"max_request_size": 10_000}) as client, refused as failure:
        client.emit_batch(topic, ["first", "x" * 20_000, "third"])

    first, second, third = failure.value.results
    assert (first.offset, third.offset) == (0, 1)
    assert isinstance(second, SendFailed)
    assert not failure.value.outcome_unknown
    assert [record.value for record in wire.records(topic)] == [b"first", b"third"]


@pytest.mark.parametrize("how", ["emit", "emit_future"])
def test_event_that_is_too_large_is_certainly_not_sent(peers: Peers, wire: Wire, how):
    topic = peers.topic()

    with peers.client(producer={"max_request_size": 10_000}) as client:
        emitting = {
            "emit": lambda: client.emit(topic, "x" * 20_000),
            "emit_future": lambda: client.emit_future(topic, "x" * 20_000).result(PATIENCE),
        }
        with pytest.raises(SendFailed, match=f"'{topic}'.*max_request_size") as failure:
            emitting[how]()

    assert (failure.value.outcome_unknown, failure.value.retriable) == (False, False)
    assert wire.ends(topic) == {0: 0}


def test_event_for_a_partition_that_does_not_exist_is_refused(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)

    refused = pytest.raises(SendFailed, match=f"'{topic}' has no partition 2.*0 to 1")
    with peers.client() as client, refused as failure:
        client.emit(topic, Message(value="hero", partition=2))

    assert not failure.value.outcome_unknown
    assert wire.ends(topic) == {0: 0, 1: 0}


def test_illegal_topic_is_refused_before_anything_is_sent(peers: Peers):
    with peers.client() as client:
        for act in (client.emit, client.emit_future):
            with pytest.raises(ConfigurationError, match="'hero/entered' cannot be the name"):
                act("hero/entered", 1)
        with pytest.raises(ConfigurationError, match="'hero/entered' cannot be the name"):
            client.emit_batch("hero/entered", [1])


def test_event_ends_with_send_failed_when_the_broker_is_gone(
    own_broker: TestBroker, own_peers: Peers
):
    topic = own_peers.topic()
    took = {}

    def timed(name, act):
        started = time.monotonic()
        result = act()
        took[name] = time.monotonic() - started
        return result

    with own_peers.client() as client:
        client.emit(topic, "before")
        take_away(own_broker)

        with pytest.raises(SendFailed, match=f"'{topic}'"):
            timed("emit", lambda: client.emit(topic, "gone", timeout=0.5))
        future = timed("emit_future", lambda: client.emit_future(topic, "gone", timeout=1.5))
        assert isinstance(timed("its end", lambda: future.exception(PATIENCE)), SendFailed)
        with pytest.raises(SendFailed) as failure:
            timed("emit_batch", lambda: client.emit_batch(topic, ["gone"] * 10, timeout=0.5))
        took["close"] = time.monotonic()
        client.close(timeout=1.0)
        took["close"] = time.monotonic() - took["close"]

    assert took.pop("emit_future") < 1.2
    assert all(seconds < 15 for seconds in took.values()), took
    assert [type(result) for result in failure.value.results] == [SendFailed] * 10
