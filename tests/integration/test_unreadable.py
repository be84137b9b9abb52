"""A record or a batch that cannot be read goes the declared way of poison; the rest goes on."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_patterns import (
    DeadLetter,
    KafkaContext,
    KafkaStatus,
    PayloadError,
    ReplyPayloadError,
    ServerKafka,
    inspect_dead_letters,
    replay,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import CORRELATION_ID, ERROR, REPLY_PARTITION, REPLY_TOPIC, Wire
from tests.support.waiting import eventually
from tests.transport.batches import with_bad_name

BAD_NAME = "\udcffame"
"""``b"\\xffame"``, as names that are no UTF-8 are shown."""


@pytest.fixture(autouse=True)
def no_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library for zstd is not installed, whatever is."""
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)


def store_zstd(peers: Peers, topic: str, count: int, partition: int = 0) -> None:
    """Write a compressed batch of so many records, which cannot be unpacked here."""
    producer = Producer(
        {
            "bootstrap.servers": ",".join(peers.broker.bootstrap_servers),
            "compression.type": "zstd",
            "linger.ms": 1_000,
        }
    )
    for _ in range(count):
        producer.produce(topic, b"secret " * 50, key=b"k", partition=partition)
    assert producer.flush(PATIENCE) == 0


def notes_of(server: ServerKafka, topic: str, **marks: Any) -> list[tuple[Any, int, int]]:
    """What the handler of *topic* was called with: value, partition, offset."""
    seen: list[tuple[Any, int, int]] = []

    @server.event_pattern(topic, **marks)
    def note(event: Any, context: KafkaContext) -> None:
        seen.append((event, context.partition, context.message.offset))

    return seen


def test_what_unpacks_to_too_much_is_poison(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"on_poison": "skip"}, consumer={"max_unpacked_bytes": 100_000})
    events = collect_events(server, topic)

    with server, peers.client(send={"compression": "gzip"}) as client:
        client.emit(topic, "x" * 90_000)
        client.emit(topic, "x" * 400_000)
        client.emit(topic, "y" * 90_000)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3}, PATIENCE)
        counters = server.health().counters

    assert events == ["x" * 90_000, "y" * 90_000]
    assert counters["poison_skipped"] == 1


@pytest.mark.parametrize("ordering", ["key", "partition", "unordered"])
def test_what_cannot_be_read_is_skipped_where_that_is_said(peers: Peers, wire: Wire, ordering):
    topic = peers.topic()
    server = peers.server(run={"on_poison": "skip", "ordering": ordering})
    events = collect_events(server, topic)

    with server:
        wire.produce(topic, b"first", key=b"k")
        wire.store(topic, with_bad_name(key=b"k"))
        store_zstd(peers, topic, 3)
        wire.produce(topic, b"last", key=b"k")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 6}, PATIENCE)
        counters = server.health().counters

    assert events == ["first", "last"]
    assert counters["poison_skipped"] == 2  # a record, and a batch


def test_what_cannot_be_read_becomes_a_dead_letter_with_its_bytes(peers: Peers, wire: Wire):
    topic = peers.topic()
    peers.broker.create_topic(f"{topic}-dlt")
    server = peers.server()
    events = notes_of(server, topic, dead_letter=DeadLetter(include_trace=False))

    with server:
        wire.store(topic, with_bad_name(value=b"\x00body", key=b"key", headers=[("other", b"1")]))
        store_zstd(peers, topic, 2)
        wire.produce(topic, b"last")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4}, PATIENCE)

    assert events == [("last", 0, 3)]
    named, batch = inspect_dead_letters(f"{topic}-dlt", options=peers.options())
    assert (named.key, named.value, named.original_offset) == (b"key", b"\x00body", 0)
    assert named.headers == [(BAD_NAME, b"h"), ("other", b"1")]
    assert named.exception == "kafka_patterns.errors.PayloadError"
    assert "no UTF-8" in (named.exception_message or "")
    assert (batch.key, batch.original_offset) == (None, 1)
    assert "zstd" in (batch.exception_message or "")
    # The batch itself: zstd's magic number is in it, and what zstd unpacks is not.
    assert b"\x28\xb5\x2f\xfd" in (batch.value or b"")
    ((name, why),) = batch.headers
    assert (name, b"zstd" in (why or b"")) == ("kafka_patterns-unreadable", True)


def test_dead_letter_that_is_no_message_is_not_replayed_as_one(peers: Peers, wire: Wire):
    topic = peers.topic()
    peers.broker.create_topic(f"{topic}-dlt")
    server = peers.server()
    collect_events(server, topic, dead_letter=DeadLetter())
    with server:
        wire.store(topic, with_bad_name(value=b"body"))
        store_zstd(peers, topic, 2)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3}, PATIENCE)

    to = peers.topic()
    report = replay(f"{topic}-dlt", to=to, dry_run=False, options=peers.options())

    assert (report.replayed, report.unroutable) == (1, 1)
    (again,) = inspect_dead_letters(to, options=peers.options())
    assert again.value == b"body"
    assert (BAD_NAME, b"h") in again.headers


def test_what_cannot_be_read_is_held_and_shown_and_others_go_on(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=3)
    server = peers.server(run={"ordering": "key"})
    events = notes_of(server, topic)

    with server:
        wire.produce(topic, b"before", partition=0)
        store_zstd(peers, topic, 2, partition=0)
        wire.store(topic, with_bad_name(key=b"k"), partition=1)
        wire.produce(topic, b"same key", key=b"k", partition=1)
        wire.produce(topic, b"other key", key=b"j", partition=1)
        eventually(lambda: server.health().counters.get("failed", 0) > 4, PATIENCE)
        wire.produce(topic, b"behind", key=b"j", partition=0)
        wire.produce(topic, b"sound", partition=2)
        expected = {0: 1, 1: 0, 2: 1}
        eventually(lambda: wire.committed(server.group_id, topic) == expected, PATIENCE)
        health = server.health()
        stalled = {s.partition: s for s in health.stalled}

    # Nobody knows the keys in the batch: what is behind it waits. Those of a record are known.
    assert sorted(events) == [("before", 0, 0), ("other key", 1, 2), ("sound", 2, 0)]
    assert health.status is KafkaStatus.CONNECTED
    assert {number: s.offset for number, s in stalled.items()} == {0: 1, 1: 0}
    assert {s.topic for s in stalled.values()} == {topic}
    assert "zstd" in stalled[0].reason
    assert "no UTF-8" in stalled[1].reason
    assert health.last_error in [s.reason for s in stalled.values()]


def test_what_was_held_behind_a_batch_comes_after_it_was_let_go(peers: Peers, wire: Wire):
    """A filter stands for whatever ends it in the end."""
    topic = peers.topic()
    server = peers.server(run={"ordering": "key"})
    events = notes_of(server, topic)
    tries: list[tuple[bytes | None, int]] = []

    class GiveUp:
        def catch(self, exception: Exception, context: KafkaContext) -> None:
            assert isinstance(exception, PayloadError)
            tries.append((context.message.raw_value, context.message.offset))
            if len(tries) < 3:
                raise exception

    server.use_global_filters(GiveUp())
    with server:
        store_zstd(peers, topic, 2)
        wire.produce(topic, b"behind", key=b"k")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3}, PATIENCE)

    assert events == [("behind", 0, 2)]
    assert [offset for _, offset in tries] == [0, 0, 0]
    assert server.health().stalled == ()


def test_others_pass_a_batch_that_is_held_where_no_order_is_kept(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"ordering": "unordered"})
    events = notes_of(server, topic)

    with server:
        store_zstd(peers, topic, 2)
        wire.produce(topic, b"behind", key=b"k")
        eventually(lambda: events, PATIENCE)
        eventually(lambda: server.health().stalled, PATIENCE)

    assert events == [("behind", 0, 2)]
    assert wire.committed(server.group_id, topic) == {0: 0}


def test_request_with_a_bad_name_of_a_header_is_answered_with_an_error(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    reply_topic = f"{pattern}.reply"
    address = [(REPLY_TOPIC, reply_topic.encode()), (CORRELATION_ID, b"1"), (REPLY_PARTITION, b"0")]

    with server:
        wire.store(pattern, with_bad_name(headers=address))
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1}, PATIENCE)

    (reply,) = wire.records(reply_topic)
    assert reply.header(CORRELATION_ID) == b"1"
    assert b"cannot be read" in reply.header(ERROR)


@pytest.mark.parametrize("mode", ["direct", "group"])
def test_client_skips_and_counts_what_cannot_be_read(peers: Peers, wire: Wire, mode):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)

    with server, peers.client(pattern, reply={"mode": mode}) as client:
        wire.store(f"{pattern}.reply", with_bad_name())
        assert client.send(pattern, [1], timeout=PATIENCE) == [1]
        store_zstd(peers, f"{pattern}.reply", 2)
        assert client.send(pattern, [2], timeout=PATIENCE) == [2]
        health = client.health()

    assert health.unreadable == 2
    assert (health.stalled, health.last_error) == ((), None)
    assert health.timed_out == 0


def test_reply_with_a_bad_name_of_a_header_fails_its_request_at_once(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        future = client.send_future(pattern, "hero", timeout=PATIENCE)
        eventually(lambda: wire.ends(pattern) == {0: 1})
        (request,) = wire.records(pattern)
        address = [(CORRELATION_ID, request.header(CORRELATION_ID))]
        wire.store(f"{pattern}.reply", with_bad_name(headers=address))
        with pytest.raises(ReplyPayloadError, match="cannot be read"):
            future.result(PATIENCE)

    assert client.health().unreadable == 1
