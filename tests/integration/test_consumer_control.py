"""Pausing, resuming and seeking from handlers and other threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns import ConfigurationError, TopicPartition
from tests.integration.peers import PATIENCE
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


@pytest.mark.parametrize("run", [{"auto_commit_interval_ms": 600_000}, {"auto_commit": False}])
def test_position_that_was_sought_is_committed_before_it_is_handled(peers, wire, run):
    topic = peers.topic()
    partition = TopicPartition(topic, 0)
    server = peers.server(run=run)
    seen = []

    @server.event_pattern(topic)
    def entered(event, context):
        seen.append((event, context.consumer.committed([partition])[partition]))

    with server:
        server.consumer.pause(partition)
        for number in range(5):
            wire.produce(topic, b"%d" % number)
        server.consumer.seek(partition, 3)
        server.consumer.resume(partition)
        eventually(lambda: [event for event, _ in seen] == ["3", "4"], PATIENCE)
        server.consumer.seek(partition, 1)
        eventually(lambda: len(seen) == 6, PATIENCE)

    assert (seen[0], seen[2]) == (("3", 3), ("1", 1))


def test_seek_over_a_backlog_outlasts_the_stop(peers, wire):
    topic = peers.topic()
    partition = TopicPartition(topic, 0)
    first, second = (peers.server(run={"auto_commit_interval_ms": 600_000}) for _ in range(2))
    seen, seen_again = collect(first, topic), collect(second, topic)

    with first:
        first.consumer.pause(partition)
        for number in range(50):
            wire.produce(topic, b"%d" % number)
        first.consumer.seek(partition, 47)
    assert wire.committed(first.group_id, topic) == {0: 47}
    assert seen == []

    with second:
        eventually(lambda: len(seen_again) >= 3, PATIENCE)
    assert [event for _, event in seen_again] == ["47", "48", "49"]


def test_no_seek_is_undone_by_what_the_group_does_meanwhile(peers, wire):
    topic = peers.topic()
    partition = TopicPartition(topic, 0)
    server = peers.server()
    seen = collect(server, topic)
    for number in range(30):
        wire.produce(topic, b"%d" % number)
    done = threading.Event()

    def keep_the_member_busy():
        while not done.is_set():  # each of these is a round of the member's thread
            server.run_on_consumer_thread(lambda _consumer: None)

    with server, ThreadPoolExecutor(1) as others:
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 30}, PATIENCE)
        busy = others.submit(keep_the_member_busy)
        try:
            for _ in range(60):
                seen.clear()
                server.consumer.seek(partition, 28)
                eventually(lambda: [event for _, event in seen] == ["28", "29"], PATIENCE)
        finally:
            done.set()
        busy.result(PATIENCE)
        wire.produce(topic, b"last")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 31}, PATIENCE)


def test_handler_pauses_its_own_partition(peers, wire):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event, context):
        seen.append(event)
        if event == "enough":
            context.consumer.pause(TopicPartition(context.topic, context.partition))

    with server:
        wire.produce(topic, b"enough")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)
        wire.produce(topic, b"more")
        eventually(lambda: server.health().in_flight == 0, PATIENCE)
        server.consumer.resume(TopicPartition(topic, 0))
        eventually(lambda: seen == ["enough", "more"], PATIENCE)


def test_pause_of_a_partition_that_others_have_holds_nothing_up_later(peers, wire):
    topic = peers.topic()
    servers = [peers.server() for _ in range(2)]
    for server in servers:
        collect(server, topic)

    with servers[0], servers[1]:
        # One of them has the partition.
        eventually(lambda: sum(len(s.health().assignment) for s in servers) == 1, PATIENCE)
        owner, other = sorted(servers, key=lambda s: -len(s.health().assignment))
        other.consumer.pause(TopicPartition(topic, 0))
        owner.stop()
        wire.produce(topic, b"later")
        eventually(lambda: wire.committed(other.group_id, topic) == {0: 1}, PATIENCE)


@pytest.mark.parametrize("offset", [-1, None, "next", 1.5])
def test_seek_to_what_is_no_offset_is_refused(peers, wire, offset):
    topic = peers.topic()
    server = peers.server()
    seen = collect(server, topic)

    with server:
        with pytest.raises(ConfigurationError, match=r"seek\(\).*is no offset"):
            server.consumer.seek(TopicPartition(topic, 0), offset)
        wire.produce(topic, b"on")
        eventually(lambda: seen == [(0, "on")], PATIENCE)


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_topic_without_its_partition_is_refused(peers, name):
    topic = peers.topic()
    server = peers.server()
    collect(server, topic)

    with server, pytest.raises(ConfigurationError, match="TopicPartition"):
        getattr(server.consumer, name)(topic)
