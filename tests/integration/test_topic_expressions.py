"""Patterns that are regular expressions."""

from __future__ import annotations

import re

from kafka_patterns import DeadLetter, KafkaContext, Retry, ServerKafka
from tests.integration.peers import PATIENCE, Peers
from tests.support.waiting import eventually


def collect(server: ServerKafka, expression):
    seen = []

    @server.event_pattern(re.compile(expression))
    def entered(event, context: KafkaContext):
        seen.append((context.topic, event))

    return seen


def test_expression_matches_whole_names_only(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    matching = peers.broker.create_topic(f"{prefix}.eu")
    longer = peers.broker.create_topic(f"{prefix}.eu.archive")
    server = peers.server()
    seen = collect(server, re.escape(prefix) + r"\.[a-z]+")

    with server:
        wire.produce(longer, b"no")
        wire.produce(matching, b"yes")
        eventually(lambda: seen == [(matching, "yes")])

    assert wire.committed(server.group_id, longer) == {}


def test_topic_that_comes_later_is_read_from_its_beginning(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    server = peers.server()
    seen = collect(server, re.escape(prefix) + r"\..+")

    with server:
        later = peers.broker.create_topic(f"{prefix}.later")
        wire.produce(later, b"first")
        wire.produce(later, b"second")
        eventually(lambda: seen == [(later, "first"), (later, "second")], 60)


def test_replies_retries_and_dead_letters_never_match(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    endings = (".reply", "-dlt", ".DLT", "-retry", "-retry-1000", "-hero-server-retry-1", "")
    names = [f"{prefix}.x{ending}" for ending in endings]
    *others, wanted = [peers.broker.create_topic(name) for name in names]
    server = peers.server()
    seen = collect(server, re.escape(prefix) + ".*")

    with server:
        for other in others:
            wire.produce(other, b"no")
        wire.produce(wanted, b"yes")
        eventually(lambda: seen)

    assert seen == [(wanted, "yes")]


def test_name_that_merely_speaks_of_retries_matches(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    topic = peers.broker.create_topic(f"{prefix}.x-retry-policy")
    server = peers.server()
    seen = collect(server, re.escape(prefix) + ".*")

    with server:
        wire.produce(topic, b"yes")
        eventually(lambda: seen == [(topic, "yes")], PATIENCE)


def test_dead_letters_in_a_topic_of_another_name_never_match_either(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    topic = peers.broker.create_topic(f"{prefix}.x")
    dead_letters = peers.broker.create_topic(f"{prefix}.failed")
    server = peers.server()
    seen = []

    @server.event_pattern(
        re.compile(re.escape(prefix) + ".*"),
        retry=Retry(max_attempts=1),
        dead_letter=DeadLetter(topic=dead_letters),
    )
    def fail(event, context: KafkaContext):
        seen.append((context.topic, event))
        raise ValueError(event)

    with server:
        wire.produce(topic, b"first")
        eventually(lambda: wire.ends(dead_letters) == {0: 1}, PATIENCE)
        assert {partition.topic for partition in server.health().assignment} == {topic}

    assert seen == [(topic, "first")]


def test_handler_by_name_goes_before_an_expression(peers: Peers, wire):
    prefix = peers.broker.unique("orders")
    named = peers.broker.create_topic(f"{prefix}.named")
    server = peers.server()
    by_expression = collect(server, re.escape(prefix) + ".*")
    by_name = []

    @server.event_pattern(named)
    def collect_by_name(event):
        by_name.append(event)

    with server:
        wire.produce(named, b"x")
        eventually(lambda: by_name == ["x"])

    assert by_expression == []
