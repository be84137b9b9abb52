"""From a handler that fails over the dead letter topic back to the handler."""

from __future__ import annotations

import pytest

from kafka_patterns import (
    DeadLetter,
    KafkaContext,
    MemoryStore,
    Retry,
    RetryTopics,
    fixed,
    idempotent,
    inspect_dead_letters,
    replay,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.waiting import eventually

TWICE = Retry(max_attempts=2, backoff=fixed(0.01))


def test_message_that_was_given_up_is_handled_when_the_reason_is_gone(peers: Peers, wire: Wire):
    topic = peers.topic()
    dead = peers.broker.create_topic(f"{topic}-dlt")
    ours, others = peers.server("ours"), peers.server("others")
    seen_by_others = collect_events(others, topic)
    handled, is_broken = [], True

    @ours.event_pattern(topic, retry=TWICE, dead_letter=DeadLetter())
    def on_event(event, context: KafkaContext):
        if is_broken:
            raise ConnectionError("the shop is closed")
        handled.append((event, dict(context.message.raw_headers)))

    with ours, others:
        wire.produce(topic, b"a", key=b"k", headers=[("realm", b"Nest")])
        eventually(lambda: wire.ends(dead) == {0: 1})
        replay(dead, dry_run=False, options=peers.options())
        eventually(lambda: wire.ends(dead) == {0: 2})
        is_broken = False
        report = replay(dead, dry_run=False, options=peers.options())
        eventually(lambda: handled and seen_by_others)

    (event, headers), *rest = handled
    assert (event, rest, seen_by_others) == ("a", [], ["a"])
    assert headers == {
        "realm": b"Nest",
        "kafka_patterns-replay-origin": f"{topic}/0/0".encode(),
        "kafka_patterns-replayed-from": f"{dead}/0/1".encode(),
        "kafka_patterns-replays": b"2",
        "kafka_patterns-replay-group": ours.group_id.encode(),
    }
    assert (report.read, report.replayed) == (1, 1)
    first, second = inspect_dead_letters(dead, options=peers.options())
    assert (first.replays, second.replays) == (0, 1)
    assert (first.original_offset, second.original_offset) == (0, 1)
    assert second.exception_message == "the shop is closed"


@pytest.mark.parametrize("retry", [TWICE, RetryTopics(delays=(0.01,))])
def test_replay_does_not_go_where_a_sender_says(peers: Peers, wire: Wire, retry: Retry):
    topic, target = peers.topic(), peers.topic("payments.execute")
    dead = peers.broker.create_topic(f"{topic}-dlt")
    server = peers.server()

    @server.event_pattern(topic, retry=retry, dead_letter=DeadLetter())
    def on_event(event):
        raise ConnectionError("the shop is closed")

    said = [
        ("kafka_dlt-original-topic", target.encode()),
        ("kafka_original-topic", target.encode()),
        ("kafka_original-partition", (0).to_bytes(4, "big")),
        ("kafka_original-offset", (7).to_bytes(8, "big")),
    ]
    with server:
        wire.produce(topic, b"forged", headers=said)
        eventually(lambda: wire.ends(dead) == {0: 1})

    report = replay(dead, dry_run=False, options=peers.options())

    assert dict(report.targets) == {topic: 1}
    assert (wire.ends(topic), wire.ends(target)) == ({0: 2}, {0: 0})
    (found,) = inspect_dead_letters(dead, options=peers.options())
    assert (found.original_offset, found.consumer_group) == (0, server.group_id)


def test_request_that_was_given_up_is_replayed_as_an_event(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    dead = peers.broker.create_topic(f"{pattern}-dlt")
    server = peers.server()
    handled, is_broken = [], True

    @server.message_pattern(pattern, retry=TWICE, dead_letter=DeadLetter())
    def pay(order, context: KafkaContext):
        if is_broken:
            raise ConnectionError("the bank is closed")
        handled.append((order, context.expects_reply))

    with server, peers.client(pattern) as client:
        future = client.send_future(pattern, "a", timeout=PATIENCE)
        assert future.exception(PATIENCE) is not None
        eventually(lambda: wire.ends(dead) == {0: 1})
        is_broken = False
        replay(dead, dry_run=False, options=peers.options())
        eventually(lambda: handled)

    assert handled == [("a", False)]


@pytest.mark.parametrize("wanted", ["again", "never"])
def test_idempotent_handler_gives_its_claim_back_before_each_try(
    peers: Peers, wire: Wire, wanted: str
):
    topic = peers.topic()
    dead = peers.broker.create_topic(f"{topic}-dlt")
    server = peers.server()
    attempts = []

    @server.event_pattern(topic, retry=TWICE, dead_letter=DeadLetter())
    @idempotent(store=MemoryStore())
    def on_event(event, context: KafkaContext):
        attempts.append(context.attempt)
        if wanted == "never" or context.attempt == 1:
            raise ConnectionError("the shop is closed")

    with server:
        wire.produce(topic, b"a")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert attempts == [1, 2]
    assert wire.ends(dead) == {0: 1 if wanted == "never" else 0}


def test_message_is_the_same_in_retry_topics(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    keys, attempts = [], []

    class Store(MemoryStore):
        def claim(self, key: str):
            keys.append(key)
            return super().claim(key)

    @server.event_pattern(topic, retry=RetryTopics(delays=(0.05,)))
    @idempotent(store=Store(), scope="s")
    def on_event(event, context: KafkaContext):
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise ConnectionError("the shop is closed")

    with server:
        wire.produce(topic, b"first")
        wire.produce(topic, b"second")
        eventually(lambda: sorted(attempts) == [1, 1, 2, 2])

    assert sorted(keys) == [f"s:place:{topic}/0/{offset}" for offset in (0, 0, 1, 1)]
