"""Exception filters: what becomes of an exception, and who decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    IncomingMessage,
    KafkaContext,
    KafkaMaxRetryExceptionFilter,
    KafkaRetriableException,
    RpcException,
    event_pattern,
    message_pattern,
    use_filters,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import ERROR, Wire
from tests.support.waiting import eventually


class Answers:
    """Turns every exception into a reply that names the filter."""

    def __init__(self, name, exceptions=Exception):
        self.name = name
        self.exceptions = exceptions
        self.caught = []

    def catch(self, exception, context):
        self.caught.append((exception, context))
        return {"by": self.name, "of": str(exception)}


class Raises:
    """Puts another error in the place of every exception."""

    def __init__(self, error):
        self.error = error

    def catch(self, exception, context):
        raise self.error


def ask(peers: Peers, server, pattern, payload=None):
    with server, peers.client(pattern) as client:
        return client.send(pattern, payload, timeout=PATIENCE)


def test_what_a_filter_returns_is_the_reply(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    answers = Answers("mine")

    @server.message_pattern(pattern)
    @use_filters(answers)
    def fail(payload):
        raise ValueError("broken")

    assert ask(peers, server, pattern) == {"by": "mine", "of": "broken"}
    ((exception, context),) = answers.caught
    assert isinstance(exception, ValueError)
    assert isinstance(context, KafkaContext)
    assert context.pattern == pattern


def test_what_a_filter_raises_is_the_error(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @use_filters(Raises(RpcException({"code": 409})))
    @server.message_pattern(pattern)
    def fail(payload):
        raise ValueError("broken")

    with pytest.raises(RpcException) as raised:
        ask(peers, server, pattern)
    assert raised.value.error == {"code": 409}


def test_filter_of_a_function_goes_before_its_class_and_that_before_the_global_one(peers: Peers):
    patterns = [peers.topic(replies=1) for _ in range(3)]

    @use_filters(Answers("class"))
    class HeroController:
        @message_pattern(patterns[0])
        @use_filters(Answers("function"))
        def of_the_function(self, payload):
            raise ValueError("broken")

        @message_pattern(patterns[1])
        def of_the_class(self, payload):
            raise ValueError("broken")

    server = peers.server()
    server.add_controller(HeroController())
    server.use_global_filters(Answers("global"))

    @server.message_pattern(patterns[2])
    def of_nobody(payload):
        raise ValueError("broken")

    with server, peers.client(*patterns) as client:
        deciders = [client.send(p, None, timeout=PATIENCE)["by"] for p in patterns]

    assert deciders == ["function", "class", "global"]


def test_filter_is_asked_only_for_the_exceptions_it_names(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.use_global_filters(Answers("for all"))
    keys, values = Answers("for keys", KeyError), Answers("for values", (ValueError, TypeError))

    @server.message_pattern(pattern)
    @use_filters(keys, values)
    def fail(payload):
        raise {"key": KeyError, "value": ValueError, "type": TypeError}.get(payload, OSError)("x")

    with server, peers.client(pattern) as client:
        deciders = [
            client.send(pattern, payload, timeout=PATIENCE)["by"]
            for payload in ("key", "value", "type", "other")
        ]

    assert deciders == ["for keys", "for values", "for values", "for all"]


def test_filter_may_answer_an_event_and_so_finish_it(peers: Peers, wire: Wire):
    topic = peers.topic(replies=1)
    server = peers.server()
    answers, tries = Answers("mine"), []

    @server.event_pattern(topic)
    @use_filters(answers)
    def fails(event):
        tries.append(event)
        raise ValueError("broken")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert tries == ["hero"]
    assert len(answers.caught) == 1
    assert wire.ends(f"{topic}.reply") == {0: 0}


def test_filter_may_ask_for_another_delivery(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    attempts = []

    @server.event_pattern(topic)
    @use_filters(Raises(KafkaRetriableException("later")))
    def fails(event, context: KafkaContext):
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise ValueError("broken")

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert attempts == [1, 2, 3]


# KafkaMaxRetryExceptionFilter


def failing_server(peers: Peers, topic, max_retry, error=None):
    """A server whose event handler always fails, and the attempts it made."""
    server = peers.server()
    attempts = []

    @server.event_pattern(topic)
    @use_filters(max_retry)
    def fails(event, context: KafkaContext):
        attempts.append((event, context.attempt))
        if event != "good":
            raise error or KafkaRetriableException("again")

    return server, attempts


@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("error", [KafkaRetriableException("again"), ValueError("broken")])
def test_max_retry_allows_one_delivery_and_so_many_more(
    peers: Peers, wire: Wire, max_retries, error
):
    topic = peers.topic()
    skipped: list[IncomingMessage] = []
    max_retry = KafkaMaxRetryExceptionFilter(max_retries, skip_handler=skipped.append)
    server, attempts = failing_server(peers, topic, max_retry, error)

    with server:
        wire.produce(topic, b"bad", key=b"k")
        wire.produce(topic, b"good")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    tries = [("bad", attempt) for attempt in range(1, max_retries + 2)]
    assert attempts == [*tries, ("good", 1)]
    (message,) = skipped
    assert (message.topic, message.partition, message.offset) == (topic, 0, 0)
    assert (message.key, message.raw_value) == ("k", b"bad")


def test_skip_handler_that_fails_is_logged_and_the_message_finished(
    peers: Peers, wire: Wire, caplog
):
    topic = peers.topic()
    calls = []

    def skip(message):
        calls.append(message.offset)
        raise OSError("the dead letters are full")

    server, attempts = failing_server(peers, topic, KafkaMaxRetryExceptionFilter(1, skip))

    with server:
        wire.produce(topic, b"bad")
        wire.produce(topic, b"good")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    assert attempts == [("bad", 1), ("bad", 2), ("good", 1)]
    assert calls == [0]
    assert "the skip handler failed" in caplog.text
    assert "the dead letters are full" in caplog.text


@pytest.mark.parametrize("name", ["retryCount", "retry-count"])
def test_deliveries_told_in_a_header_count(peers: Peers, wire: Wire, name):
    topic = peers.topic()
    skipped: list[IncomingMessage] = []
    max_retry = KafkaMaxRetryExceptionFilter(3, skip_handler=skipped.append)
    server, attempts = failing_server(peers, topic, max_retry)

    with server:
        wire.produce(topic, b"bad", headers=[(name, b"2")])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert attempts == [("bad", 3), ("bad", 4)]
    assert [message.headers for message in skipped] == [{name: "2"}]


def test_each_message_and_each_handler_is_counted_for_itself(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    skipped, calls = [], []
    shared = KafkaMaxRetryExceptionFilter(1, lambda message: skipped.append(message.offset))

    @server.event_pattern(topic)
    @use_filters(shared)
    def fails(event):
        calls.append(("fails", event))
        raise ValueError("broken")

    @server.event_pattern(topic)
    @use_filters(shared)
    def fails_too(event):
        calls.append(("fails too", event))
        raise ValueError("broken")

    with server:
        wire.produce(topic, b"0")
        wire.produce(topic, b"1")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})

    once = [("fails", "{}"), ("fails too", "{}")]
    assert calls == [
        (name, text.format(n)) for n in (0, 1) for _ in range(2) for name, text in once
    ]
    assert skipped == [0, 0, 1, 1]


def test_class_and_global_filters_may_end_retries_as_well(peers: Peers, wire: Wire):
    of_class, of_server = peers.topic(), peers.topic()
    skipped = []

    def skip(message):
        skipped.append(message.topic)

    @use_filters(KafkaMaxRetryExceptionFilter(1, skip))
    class HeroController:
        @event_pattern(of_class)
        def fails(self, event):
            raise ValueError("broken")

    server = peers.server()
    server.add_controller(HeroController())
    server.use_global_filters(KafkaMaxRetryExceptionFilter(2, skip))
    attempts = []

    @server.event_pattern(of_server)
    def fails(event, context: KafkaContext):
        attempts.append(context.attempt)
        raise ValueError("broken")

    with server:
        wire.produce(of_class, b"hero")
        wire.produce(of_server, b"hero")
        eventually(lambda: wire.committed(server.group_id, of_class) == {0: 1})
        eventually(lambda: wire.committed(server.group_id, of_server) == {0: 1})

    assert sorted(skipped) == sorted([of_class, of_server])
    assert attempts == [1, 2, 3]


def test_caller_of_a_request_gets_the_error_when_the_retries_end(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    skipped: list[IncomingMessage] = []
    attempts = []

    @server.message_pattern(pattern)
    @use_filters(KafkaMaxRetryExceptionFilter(2, skip_handler=skipped.append))
    def kill_dragon(payload, context: KafkaContext):
        attempts.append(context.attempt)
        raise KafkaRetriableException("the dragon hides")

    with server:
        (reply,) = wire.request(pattern, b"{}")
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert attempts == [1, 2, 3]
    assert len(skipped) == 1
    error = json.loads(reply.header(ERROR))
    assert error == {"status": "error", "message": "the dragon hides"}


# Misuse


def test_filters_that_cannot_work_are_refused(peers: Peers):
    server = peers.server()
    a_class: Any = KafkaMaxRetryExceptionFilter
    no_filter: Any = object()

    with pytest.raises(ConfigurationError, match="KafkaMaxRetryExceptionFilter is a class"):
        use_filters(a_class)
    with pytest.raises(ConfigurationError, match="has no catch"):
        server.use_global_filters(no_filter)
    with pytest.raises(ConfigurationError, match="max_retries must be an int from 0, not -1"):
        KafkaMaxRetryExceptionFilter(-1)


def test_global_filters_come_before_the_start(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    server.event_pattern(topic)(lambda event: None)

    with server, pytest.raises(ConfigurationError, match=r"must come before start\(\)"):
        server.use_global_filters(Answers("late"))
