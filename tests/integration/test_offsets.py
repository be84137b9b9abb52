"""Commits: by themselves, by hand, and never past what is unfinished."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from kafka_patterns import (
    CommitFailed,
    ConfigurationError,
    KafkaContext,
    PartitionLost,
    ServerKafka,
    TopicPartition,
)
from kafka_patterns.server import processing
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.waiting import eventually


def test_finished_events_are_committed_by_themselves(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=2)
    server = peers.server()
    seen = collect_events(server, topic)

    with server:
        assert wire.committed(server.group_id, topic) == {0: 0, 1: 0}
        for number in range(5):
            wire.produce(topic, b"%d" % number, partition=number % 2)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3, 1: 2})

    assert sorted(seen) == ["0", "1", "2", "3", "4"]


def test_stop_commits_what_was_finished_since_the_last_commit(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit_interval_ms": 600_000})
    seen = collect_events(server, topic)

    with server:
        for _ in range(3):
            wire.produce(topic, b"hero")
        eventually(lambda: len(seen) == 3)
        assert wire.committed(server.group_id, topic) == {0: 0}

    assert wire.committed(server.group_id, topic) == {0: 3}


def test_threshold_commits_before_the_interval_is_over(peers: Peers, wire: Wire):
    topic = peers.topic()
    run = {"auto_commit_interval_ms": 600_000, "auto_commit_threshold": 4}
    server = peers.server(run=run)
    seen = collect_events(server, topic)

    with server:
        for _ in range(3):
            wire.produce(topic, b"hero")
        eventually(lambda: len(seen) == 3)
        assert wire.committed(server.group_id, topic) == {0: 0}
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4})


def test_nothing_past_an_unfinished_event_is_committed_at_the_stop(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic, ordering="unordered")
    def entered(event):
        if event == "held":
            assert gate.wait(PATIENCE)
        seen.append(event)

    with server:
        for value in (b"zero", b"held", b"two"):
            wire.produce(topic, value)
        eventually(lambda: sorted(seen) == ["two", "zero"])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})
        assert not server.stop(timeout=0.5)
        assert wire.committed(server.group_id, topic) == {0: 1}
        gate.set()
        eventually(lambda: len(seen) == 3)

    # What was not finished in time is delivered again, whatever became of it after the stop.
    again = peers.server()
    seen_again = collect_events(again, topic)
    with again:
        eventually(lambda: wire.committed(again.group_id, topic) == {0: 3})
    assert seen_again[0] == "held"


def test_next_server_goes_on_where_the_last_one_committed(peers: Peers, wire: Wire):
    topic = peers.topic()
    first, second = peers.server(), peers.server()
    seen_by_first, seen_by_second = collect_events(first, topic), collect_events(second, topic)

    with first:
        wire.produce(topic, b"0")
        wire.produce(topic, b"1")
        eventually(lambda: len(seen_by_first) == 2)
    wire.produce(topic, b"2")
    with second:
        eventually(lambda: seen_by_second == ["2"])

    assert wire.committed(second.group_id, topic) == {0: 3}


def test_group_begins_where_somebody_else_committed(peers: Peers, wire: Wire):
    topic = peers.topic()
    for number in range(4):
        wire.produce(topic, b"%d" % number)
    server = peers.server()
    seen = collect_events(server, topic)
    wire.commit(server.group_id, topic, 2)

    with server:
        eventually(lambda: seen == ["2", "3"])


def test_position_that_fell_out_of_the_log_begins_at_the_oldest_record(peers: Peers, wire: Wire):
    topic = peers.topic()
    wire.produce(topic, b"0")
    server = peers.server()
    seen = collect_events(server, topic)
    wire.commit(server.group_id, topic, 1_000)

    with server:
        eventually(lambda: seen == ["0"], PATIENCE)


# By hand


def test_without_auto_commit_only_the_start_position_is_committed(peers: Peers, wire: Wire):
    topic = peers.topic()
    wire.produce(topic, b"before")
    first = peers.server(run={"auto_commit": False})
    seen = collect_events(first, topic)

    with first:
        wire.produce(topic, b"1")
        wire.produce(topic, b"2")
        eventually(lambda: len(seen) == 2)
    assert wire.committed(first.group_id, topic) == {0: 1}

    second = peers.server(run={"auto_commit": False})
    seen_again = collect_events(second, topic)
    with second:
        eventually(lambda: seen_again == ["1", "2"])


def test_without_auto_commit_what_no_handler_saw_is_committed_by_itself(peers: Peers, wire: Wire):
    topic = peers.topic(replies=1)
    server = peers.server(run={"auto_commit": False})
    calls = []

    @server.message_pattern(topic)
    def pay(payload: dict[str, int]):
        calls.append(payload)

    with server:
        for _ in range(3):
            (reply,) = wire.request(topic, b"unreadable")
            assert reply.value is None
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})

    assert calls == []


def test_commit_of_the_context_finishes_the_message(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    committed = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        if event != "1":
            context.commit()
        partition = TopicPartition(topic, 0)
        committed.append(context.consumer.committed([partition])[partition])

    with server:
        for number in range(3):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: len(committed) == 3)

    # "1" was handled and never committed: nothing past it is, though "2" asked for it.
    assert committed == [1, 1, 1]
    assert wire.committed(server.group_id, topic) == {0: 1}


def test_commit_of_the_context_merely_commits_earlier_with_auto_commit(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit_interval_ms": 600_000})
    seen = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        context.commit()
        seen.append(event)

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: seen)
        assert wire.committed(server.group_id, topic) == {0: 1}


def collect_contexts(server: ServerKafka, topic: str) -> list[KafkaContext]:
    contexts: list[KafkaContext] = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        contexts.append(context)

    return contexts


def test_commits_come_later_from_any_thread_and_jump_no_gap(peers: Peers, wire: Wire):
    topic = peers.topic()
    # A handler that returned frees its place: more come than may be held at once.
    server = peers.server(run={"auto_commit": False, "max_in_flight": 2})
    contexts = collect_contexts(server, topic)

    def commit(number):
        with ThreadPoolExecutor(1) as another:
            another.submit(contexts[number].commit).result(PATIENCE)
        return wire.committed(server.group_id, topic)

    with server:
        for number in range(6):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: len(contexts) == 6, PATIENCE)

        assert [commit(number) for number in (2, 0, 1, 1, 5)] == [
            {0: 0},
            {0: 1},
            {0: 3},
            {0: 3},
            {0: 3},
        ]

    following = peers.server()
    seen = collect_events(following, topic)
    with following:
        eventually(lambda: len(seen) == 2, PATIENCE)
    assert seen == ["3", "4"]


def keep_member_busy(server, others):
    """Let the thread that commits do nothing until what this returns is set."""
    busy, free = threading.Event(), threading.Event()

    def keep_busy(_consumer):
        busy.set()
        free.wait(PATIENCE)

    others.submit(server.run_on_consumer_thread, keep_busy)
    assert busy.wait(PATIENCE)
    return free


def is_lost(context: KafkaContext) -> bool:
    try:
        context.heartbeat()
    except PartitionLost:
        return True
    return False


def test_commit_that_comes_too_late_says_so(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    contexts = collect_contexts(server, topic)

    with server, ThreadPoolExecutor(2) as others:
        wire.produce(topic, b"hero")
        eventually(lambda: contexts, PATIENCE)
        free = keep_member_busy(server, others)
        commit = others.submit(contexts[0].commit)
        server.consumer.seek(TopicPartition(topic, 0), 0)
        eventually(lambda: is_lost(contexts[0]), PATIENCE)
        free.set()

        with pytest.raises(PartitionLost):
            commit.result(PATIENCE)
    assert wire.committed(server.group_id, topic) == {0: 0}


def test_commit_without_an_answer_says_so(peers: Peers, wire: Wire, monkeypatch):
    monkeypatch.setattr(processing, "_COMMIT_SECONDS", 0.1)
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    contexts = collect_contexts(server, topic)

    with server, ThreadPoolExecutor(1) as other:
        wire.produce(topic, b"hero")
        eventually(lambda: contexts, PATIENCE)
        free = keep_member_busy(server, other)
        with pytest.raises(CommitFailed, match="did not take a commit"):
            contexts[0].commit()
        free.set()


@pytest.mark.parametrize("form", ["entries", "mapping"])
def test_commit_offsets_takes_the_next_offset_literally(peers: Peers, wire: Wire, form):
    topic = peers.topic(partitions=2)
    for number in range(3):
        wire.produce(topic, b"%d" % number, partition=1)
    server = peers.server(run={"auto_commit": False})
    collect_events(server, topic)

    with server:
        if form == "entries":
            entry = {"topic": topic, "partition": 1}
            server.consumer.commit_offsets([{**entry, "offset": 2, "metadata": "by hand"}])
        else:
            server.consumer.commit_offsets({TopicPartition(topic, 1): 2})
        asked = server.consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)])

    assert asked == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 2}
    entries = wire.committed_entries(server.group_id, topic)
    assert entries[1].offset == 2
    assert entries[1].metadata == ("by hand" if form == "entries" else "")
    # The next server begins with exactly that offset.
    following = peers.server()
    seen = collect_events(following, topic)
    with following:
        eventually(lambda: seen == ["2"])


@pytest.mark.parametrize("entry", [{}, {"topic": "hero", "partition": 0}, 5])
def test_commit_offsets_says_what_an_entry_lacks(peers: Peers, entry):
    topic = peers.topic()
    server = peers.server()
    collect_events(server, topic)

    with server, pytest.raises(ConfigurationError, match="topic, partition and offset"):
        server.consumer.commit_offsets([entry])


@pytest.mark.real_kafka
def test_metadata_that_is_too_long_fails_the_commit(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"auto_commit": False})
    collect_events(server, topic)

    with server:
        entry = {"topic": topic, "partition": 0, "offset": 1, "metadata": "x" * 5000}
        with pytest.raises(CommitFailed, match="OffsetMetadataTooLarge"):
            server.consumer.commit_offsets([entry])

    assert wire.committed(server.group_id, topic) == {0: 0}


def test_commits_go_on_while_handlers_are_slow(peers: Peers, wire: Wire, gate: threading.Event):
    topic = peers.topic(partitions=2)
    server = peers.server()

    @server.event_pattern(topic)
    def entered(event):
        if event == "slow":
            assert gate.wait(PATIENCE)

    def is_committed(expected):
        return wire.committed(server.group_id, topic) == expected

    with server:
        wire.produce(topic, b"slow", partition=0)
        for number in range(10):
            wire.produce(topic, b"%d" % number, partition=1)
            eventually(partial(is_committed, {0: 0, 1: number + 1}))
        gate.set()
