"""Pausing, resuming and seeking from handlers and other threads."""

from __future__ import annotations

from kafka_patterns import TopicPartition
from tests.support.waiting import eventually


def collect(server, topic):
    seen = []

    @server.event_pattern(topic)
    def entered(event, context):
        seen.append((context.partition, event))

    return seen


def test_paused_partition_rests_while_the_others_go_on(peers, wire):
    topic = peers.topic(partitions=2)
    server = peers.server()
    seen = collect(server, topic)

    with server:
        server.consumer.pause(TopicPartition(topic, 0))
        wire.produce(topic, b"rests", partition=0)
        for number in range(3):
            wire.produce(topic, b"%d" % number, partition=1)
        eventually(lambda: len(seen) == 3)
        assert all(partition == 1 for partition, _ in seen)
        server.consumer.resume(TopicPartition(topic, 0))

        eventually(lambda: (0, "rests") in seen)


def test_no_record_is_lost_over_many_pauses(peers, wire):
    topic = peers.topic()
    server = peers.server()
    seen = collect(server, topic)
    partition = TopicPartition(topic, 0)

    with server:
        for number in range(60):
            wire.produce(topic, b"%d" % number)
            if number % 6 == 0:
                server.consumer.pause(partition)
            if number % 6 == 3:
                server.consumer.resume(partition)
        server.consumer.resume(partition)
        eventually(lambda: len(seen) == 60)

    assert [int(event) for _, event in seen] == list(range(60))


def test_seek_back_delivers_again_and_seek_ahead_skips(peers, wire):
    topic = peers.topic()
    server = peers.server()
    seen = collect(server, topic)
    partition = TopicPartition(topic, 0)

    with server:
        for number in range(4):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: len(seen) == 4)
        server.consumer.seek(partition, 2)
        eventually(lambda: [event for _, event in seen] == ["0", "1", "2", "3", "2", "3"])

        server.consumer.pause(partition)
        for number in range(4, 8):
            wire.produce(topic, b"%d" % number)
        server.consumer.seek(partition, 6)
        server.consumer.resume(partition)
        eventually(lambda: [event for _, event in seen][6:] == ["6", "7"])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 8})
