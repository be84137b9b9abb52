"""What middleware of a server sees and does."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from kafka_patterns import (
    Batch,
    BatchItemFailed,
    ConfigurationError,
    CurrentMessageMiddleware,
    KafkaContext,
    RpcException,
    current_message,
    use_filters,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import ERROR, Wire
from tests.support.waiting import eventually


class Journal:
    """Notes what happened, with the thread it happened in."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.threads: set[str] = set()

    def before(self, context):
        self.threads.add(threading.current_thread().name)
        self.notes.append(("before", context.message.offset, context.attempt))

    def after(self, context, result=None, exception=None):
        self.notes.append(("after", result, None if exception is None else type(exception)))


class Answers:
    def catch(self, exception, context):
        return {"instead of": str(exception)}


def test_middleware_runs_round_handlers_of_requests_and_events(peers: Peers, wire: Wire):
    pattern, topic = peers.topic(replies=1), peers.topic()
    server = peers.server()
    journal = Journal()
    server.add_middleware(journal)
    server.message_pattern(pattern)(lambda payload: {"got": payload})
    server.event_pattern(topic)(lambda event: "dropped")

    with server, peers.client(pattern) as client:
        assert client.send(pattern, "x", timeout=PATIENCE) == {"got": "x"}
        wire.produce(topic, b"e")
        eventually(lambda: len(journal.notes) == 4)

    assert journal.notes == [
        *(("before", 0, 1), ("after", {"got": "x"}, None)),
        *(("before", 0, 1), ("after", "dropped", None)),
    ]
    assert all("-worker-" in name for name in journal.threads)


def test_filters_sit_inside_middleware(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    journal = Journal()
    server.add_middleware(journal)

    @server.message_pattern(pattern)
    @use_filters(Answers())
    def fails(payload):
        raise ValueError("broken")

    with server, peers.client(pattern) as client:
        assert client.send(pattern, None, timeout=PATIENCE) == {"instead of": "broken"}

    assert journal.notes[-1] == ("after", {"instead of": "broken"}, None)


def test_what_filters_let_pass_is_seen_once_by_both(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    journal, asked = Journal(), []
    server.add_middleware(journal)

    class LetsPass:
        def catch(self, exception, context):
            asked.append(context.attempt)
            raise exception

    @server.event_pattern(topic)
    @use_filters(LetsPass())
    def fails(event, context: KafkaContext):
        if context.attempt < 3:
            raise ValueError("broken")

    with server:
        wire.produce(topic, b"e")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert asked == [1, 2]
    assert [note[-1] for note in journal.notes if note[0] == "after"] == [
        *(ValueError, ValueError, None)
    ]


def test_error_of_middleware_is_a_failure_of_the_handler(peers: Peers, wire: Wire):
    pattern, topic = peers.topic(replies=1), peers.topic()
    server = peers.server()
    calls = []

    class Guard:
        def before(self, context: KafkaContext):
            if context.message.headers.get("allowed") != "yes" and context.attempt < 3:
                raise RpcException("you may not")

    server.add_middleware(Guard())

    @server.message_pattern(pattern)
    @server.event_pattern(topic)
    def call(payload):
        calls.append(payload)

    with server:
        (refused,) = wire.request(pattern, b"request")
        wire.produce(topic, b"event")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    error = json.loads(refused.header(ERROR))
    assert error == {"status": "error", "message": "you may not"}
    assert calls == ["event"]


def test_filters_are_asked_about_errors_of_middleware(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()

    class Guard:
        def around(self, context, call):
            raise PermissionError("you may not")

    server.add_middleware(Guard())
    server.use_global_filters(Answers())
    server.message_pattern(pattern)(lambda payload: payload)

    with server, peers.client(pattern) as client:
        assert client.send(pattern, 1, timeout=PATIENCE) == {"instead of": "you may not"}


def test_generators_run_inside_middleware(peers: Peers, wire: Wire):
    pattern, topic = peers.topic(replies=1), peers.topic()
    server = peers.server()
    journal = Journal()
    offsets: list[int | None] = []
    server.add_middleware(journal, CurrentMessageMiddleware())

    def here() -> int | None:
        message = current_message()
        return None if message is None else message.offset

    @server.message_pattern(pattern)
    def story(payload):
        yield "once"
        yield {"offset": here()}

    @server.event_pattern(topic)
    def entered(event):
        offsets.append(here())
        yield
        offsets.append(here())

    with server, peers.client(pattern) as client:
        assert list(client.stream(pattern, None, timeout=PATIENCE)) == ["once", {"offset": 0}]
        wire.produce(topic, b"e")
        eventually(lambda: len(journal.notes) == 4)

    assert offsets == [0, 0]


def test_failing_generator_is_seen_by_middleware_and_answered(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    journal = Journal()
    server.add_middleware(journal)

    @server.message_pattern(pattern)
    def story(payload):
        yield "once"
        raise RpcException("torn")

    with server:
        first, last = wire.request(pattern, None)

    assert first.value == b"once"
    assert json.loads(last.header(ERROR))["message"] == "torn"
    assert journal.notes[-1] == ("after", None, RpcException)


def test_deferred_message_ends_for_middleware_when_the_handler_returns(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    journal, deferred = Journal(), []
    server.add_middleware(journal)

    @server.message_pattern(pattern)
    def later(payload, context: KafkaContext):
        deferred.append(context.defer())
        return "dropped"

    with server, peers.client(pattern) as client:
        future = client.send_future(pattern, None, timeout=PATIENCE)
        eventually(lambda: len(journal.notes) == 2)
        assert not future.done()
        deferred[0].done("at last")
        assert future.result(PATIENCE) == "at last"

    assert journal.notes[-1] == ("after", "dropped", None)


def test_batch_is_one_call(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    sizes, endings, batches = [], [], []

    class Counts:
        def around(self, context, call):
            sizes.append(len(context.messages))
            return call()

        def after(self, context, result=None, exception=None):
            endings.append(type(exception))

    server.add_middleware(Counts())

    @server.event_pattern(topic, batch=Batch(max_size=3, max_wait=PATIENCE))
    def entered(events: list[int]):
        batches.append(events)
        if len(batches) == 1:
            raise BatchItemFailed(2, ValueError("two"))

    client = peers.client()
    with server:
        client.emit_batch(topic, [0, 1, 2])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 2})
        client.emit_batch(topic, [3, 4])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 5})

    assert batches == [[0, 1, 2], [2, 3, 4]]
    assert sizes == [3, 3]
    assert endings == [BatchItemFailed, type(None)]


def test_middleware_comes_before_the_start(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    server.event_pattern(topic)(lambda event: None)

    with server, pytest.raises(ConfigurationError, match=r"must come before start\(\)"):
        server.add_middleware(Journal())
