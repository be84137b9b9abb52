"""A failing event is tried later, from topics of its own; the others go on."""

from __future__ import annotations

import time

from kafka_patterns import KafkaContext, RetryTopics
from tests.integration.peers import Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually


def test_failing_event_is_tried_later_and_never_early_and_then_a_dead_letter(
    peers: Peers, wire: Wire
):
    topic = peers.topic(partitions=2)
    server = peers.server()
    tries, others = [], []

    @server.event_pattern(topic, retry=RetryTopics(delays=(0.3, 0.6)))
    def entered(event, context: KafkaContext):
        if event == "bad":
            tries.append((time.time(), context.attempt, context.topic))
            raise ValueError("no")
        others.append((event, len(tries)))

    with server:
        wire.produce(topic, b"bad", key=b"k", partition=1)
        wire.produce(topic, b"good", key=b"k", partition=1)
        # It did not wait for the second try.
        eventually(lambda: others == [("good", 1)])
        eventually(lambda: wire.ends(f"{topic}-dlt").get(1) or wire.ends(f"{topic}-dlt").get(0))
        retry_topics = [f"{topic}-{server.group_id}-retry-{number}" for number in (1, 2)]
        eventually(lambda: sum(wire.committed(server.group_id, retry_topics[1]).values()) == 1)

    assert [(attempt, where) for _, attempt, where in tries] == [
        (1, topic),
        (2, retry_topics[0]),
        (3, retry_topics[1]),
    ]
    first, second, third = (when for when, *_ in tries)
    assert second - first >= 0.3
    assert third - second >= 0.6
    (letter,) = wire.records(f"{topic}-dlt")
    assert (letter.key, letter.value) == (b"k", b"bad")
    assert dict(letter.headers)["kafka_dlt-original-topic"] == topic.encode()
    if peers.broker.is_real:
        assert len(wire.ends(retry_topics[0])) == 2


def test_services_on_one_topic_do_not_read_each_others_retries(peers: Peers, wire: Wire):
    topic = peers.topic()
    failing, other = peers.server(), peers.server(group="villain")
    tries, seen = [], []

    @failing.event_pattern(topic, retry=RetryTopics(delays=(0.05,)))
    def fails(event, context: KafkaContext):
        tries.append(context.attempt)
        if context.attempt == 1:
            raise ValueError("no")

    @other.event_pattern(topic, retry=RetryTopics(delays=(0.05,)))
    def works(event, context: KafkaContext):
        seen.append(context.attempt)

    with failing, other:
        wire.produce(topic, b"hero")
        eventually(lambda: tries == [1, 2])
        retry_topic = f"{topic}-{failing.group_id}-retry-1"
        eventually(lambda: sum(wire.committed(failing.group_id, retry_topic).values()) == 1)
        eventually(lambda: seen)
    assert seen == [1]


def test_retry_topic_that_a_deployment_left_behind_is_named(peers: Peers, wire: Wire, caplog):
    topic = peers.topic()
    servers = [peers.server() for _ in range(2)]
    left, empty = (f"{topic}-{servers[0].group_id}-retry-{number}" for number in (3, 4))
    for name in (left, empty):
        peers.broker.create_topic(name)
    wire.produce(left, b"waits")

    for server, delays in zip(servers, [(1, 1), (1, 1, 1, 1)], strict=True):
        caplog.clear()
        server.event_pattern(topic, retry=RetryTopics(delays=delays))(lambda event: None)
        with server:
            assert (f"{left!r} holds events of an earlier deployment" in caplog.text) == (
                len(delays) == 2
            )
            assert repr(empty) not in caplog.text


def test_retry_that_was_written_before_the_group_had_an_offset_there_is_read(
    peers: Peers, wire: Wire
):
    topic = peers.topic()
    server = peers.server()
    retry_topic = peers.broker.create_topic(f"{topic}-{server.group_id}-retry-1")
    # As where its leader was away when the first server of the group opened it.
    wire.produce(retry_topic, b"left behind")
    seen = []

    @server.event_pattern(topic, retry=RetryTopics(delays=(0.05,)))
    def entered(event):
        seen.append(event)

    with server:
        eventually(lambda: seen == ["left behind"])
