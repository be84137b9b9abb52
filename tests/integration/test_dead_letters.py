"""What is given up ends in the dead letter topic, as it was, before it is committed."""

from __future__ import annotations

import struct
from contextlib import closing

import pytest

from kafka_patterns import DeadLetter, KafkaContext, Retry, RpcException, fixed
from kafka_patterns.testing import ApiKey, EmbeddedBroker
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually
from tests.transport.error_codes import TOPIC_NOT_AUTHORIZED

TWICE = Retry(max_attempts=2, backoff=fixed(0.01))


def parts(record):
    """What must be the same in the dead letter."""
    added = ("kafka_dlt-",)
    return record.key, record.value, [p for p in record.headers if not p[0].startswith(added)]


def test_dead_letter_is_the_message_as_it_was_and_says_where_from(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=3)
    peers.broker.create_topic(f"{topic}-dlt", 3)
    server = peers.server()
    tries = []

    @server.event_pattern(topic, retry=TWICE, dead_letter=DeadLetter())
    def entered(event, context: KafkaContext):
        tries.append(context.attempt)
        raise LookupError("no such hero")

    odd_headers = [("a", b"1"), ("a", b"2"), ("binary", b"\x00\xff")]
    with server:
        wire.produce(topic, b"before", partition=2)
        wire.produce(topic, None, key=b"\x00key", headers=odd_headers, partition=2)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 0, 1: 0, 2: 2})

    before, letter = wire.records(f"{topic}-dlt")
    original = wire.records(topic)[1]
    assert parts(letter) == parts(original)
    assert (before.partition, letter.partition) == (2, 2)
    found = dict(letter.headers)
    assert found["kafka_dlt-original-topic"] == topic.encode()
    assert struct.unpack(">i", found["kafka_dlt-original-partition"]) == (2,)
    assert struct.unpack(">q", found["kafka_dlt-original-offset"]) == (1,)
    assert found["kafka_dlt-original-consumer-group"] == server.group_id.encode()
    assert found["kafka_dlt-exception-fqcn"] == b"builtins.LookupError"
    assert found["kafka_dlt-exception-message"] == b"no such hero"
    assert b"raise LookupError" in found["kafka_dlt-exception-stacktrace"]
    assert tries == [1, 2, 1, 2]


def test_partition_that_the_dead_letter_topic_lacks_gives_way_to_the_key(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=3)
    peers.broker.create_topic(f"{topic}-dlt", 1)
    server = peers.server()

    @server.event_pattern(topic, retry=TWICE, dead_letter=DeadLetter())
    def entered(event):
        raise ValueError("no")

    with server:
        wire.produce(topic, b"hero", partition=2)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 0, 1: 0, 2: 1})

    assert [letter.partition for letter in wire.records(f"{topic}-dlt")] == [0]


def test_unreadable_payload_goes_to_the_named_topic_and_the_others_go_on(peers: Peers, wire: Wire):
    topic = peers.topic()
    parked = peers.topic("hero.parked")
    server = peers.server()
    seen = []

    @server.event_pattern(topic, dead_letter=DeadLetter(topic=parked))
    def entered(event: int):
        seen.append(event)

    with server:
        wire.produce(topic, b'\xff\xfe{"broken', key=b"k")
        wire.produce(topic, b"2")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    assert seen == [2]
    (letter,) = wire.records(parked)
    assert (letter.key, letter.value) == (b"k", b'\xff\xfe{"broken')


def test_caller_gets_the_error_and_the_request_becomes_a_dead_letter(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    peers.broker.create_topic(f"{pattern}-dlt")
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern, retry=TWICE, dead_letter=DeadLetter())
    def kill(payload, context: KafkaContext):
        attempts.append(context.attempt)
        raise ValueError("unexpected")

    with server, peers.client(pattern) as client:
        with pytest.raises(RpcException, match="Internal server error"):
            client.send(pattern, {"id": 1}, timeout=PATIENCE)
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [1, 2]
    (letter,) = wire.records(f"{pattern}-dlt")
    assert parts(letter) == parts(wire.records(pattern)[0])


def test_refused_dead_letter_is_neither_lost_nor_committed_and_shows(
    own_peers: Peers, own_broker: TestBroker
):
    if not isinstance(own_broker.backend, EmbeddedBroker):
        pytest.skip("only the embedded broker refuses at will")
    with closing(Wire(own_broker.bootstrap_servers)) as wire:
        topic = own_peers.topic()
        own_broker.create_topic(f"{topic}-dlt")
        run = {"retry_backoff_ms": 10, "retry_backoff_max_ms": 50}
        server = own_peers.server(run=run, subscribe={"from_beginning": True})
        tries = []

        @server.event_pattern(topic, retry=TWICE, dead_letter=DeadLetter())
        def entered(event):
            tries.append(event)
            raise ValueError("no")

        wire.produce(topic, b"hero")
        own_broker.backend.push_request_errors(ApiKey.PRODUCE, *[TOPIC_NOT_AUTHORIZED] * 1000)
        with server:
            eventually(lambda: server.health().counters.get("letters_refused", 0) > 5)
            assert wire.committed(server.group_id, topic) == {0: 0}
            assert "TopicAuthorizationFailed" in (server.health().last_error or "")
            assert server.health().in_flight == 1

            own_broker.backend.clear_request_errors(ApiKey.PRODUCE)
            eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})
            eventually(lambda: server.health().last_error is None)

        assert [letter.value for letter in wire.records(f"{topic}-dlt")] == [b"hero"]
        assert tries == ["hero", "hero"]
