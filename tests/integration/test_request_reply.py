"""Request/reply: the return address, the waiting, and every way a request can end."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    Message,
    NoReplyPartition,
    NotSubscribedToReply,
    RequestTimeout,
    RpcException,
    TooManyPendingRequests,
)
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.integration.wire import CORRELATION_ID, DEADLINE, REPLY_PARTITION, REPLY_TOPIC, Wire
from tests.support.waiting import eventually


def serve_echo(peers: Peers, pattern, gate=None):
    """Start a server that answers with the payload; ``"wait"`` is answered at the gate."""
    server = peers.server()

    @server.message_pattern(pattern)
    def echo(payload):
        if payload == "wait" and gate is not None:
            assert gate.wait(PATIENCE)
        return payload

    return server.start()


def test_request_carries_its_return_address(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    client = peers.client(pattern)

    before = time.time()
    client.send_future(pattern, {"hero": "Kaido"}, timeout=PATIENCE)
    client.send_future(pattern, {"hero": "Luffy"}, timeout=PATIENCE)
    eventually(lambda: wire.ends(pattern) == {0: 2})
    after = time.time()

    first, second = wire.records(pattern)
    assert first.header_names == [CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION, DEADLINE]
    assert re.fullmatch(rb"[0-9a-f]{21}", first.header(CORRELATION_ID))
    assert first.header(CORRELATION_ID) != second.header(CORRELATION_ID)
    assert first.header(REPLY_TOPIC) == f"{pattern}.reply".encode()
    assert first.header(REPLY_PARTITION) == b"0"
    deadline = int(first.header(DEADLINE)) / 1000 - PATIENCE
    assert before - 0.001 <= deadline <= after
    assert (first.key, first.value) == (None, b'{"hero":"Kaido"}')


def test_headers_of_the_user_come_first_and_cannot_fake_the_return_address(
    peers: Peers, wire: Wire
):
    pattern = peers.topic(replies=1)
    client = peers.client(pattern)
    message = Message(
        key="dragon",
        value="kill",
        headers=[("realm", "Nest"), (REPLY_TOPIC, "forged.reply"), ("realm", b"\x00\xff")],
    )

    client.send_future(pattern, message, timeout=PATIENCE)
    eventually(lambda: wire.ends(pattern) == {0: 1})

    (record,) = wire.records(pattern)
    assert (record.key, record.value) == (b"dragon", b"kill")
    names = ["realm", REPLY_TOPIC, "realm", CORRELATION_ID, REPLY_PARTITION, DEADLINE]
    assert record.header_names == names
    assert record.header(REPLY_TOPIC) == f"{pattern}.reply".encode()
    assert [v for name, v in record.headers if name == "realm"] == [b"Nest", b"\x00\xff"]


def test_send_returns_what_the_handler_returned(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern) as client:
        assert client.send(pattern, {"x": [1, "ü"]}, timeout=PATIENCE) == {"x": [1, "ü"]}
        assert client.send(pattern, "text", timeout=PATIENCE) == "text"
        assert client.send(pattern, 5, timeout=PATIENCE) == "5"
        assert client.send(pattern, None, timeout=PATIENCE) is None


def test_topics_are_known_before_the_first_request_and_wait_for_no_pause_later(peers: Peers):
    # What the base waits between two questions about topics: longer than any timeout here.
    pause: dict[str, Any] = {"producer": {"retry_backoff_ms": 120_000}}
    topics = [peers.topic(replies=1) for _ in range(5)]
    server = peers.server(**pause)
    for topic in topics:
        server.message_pattern(topic)(lambda payload: payload)

    with server, peers.client(*topics, **pause) as client:
        known = [server.producer.unwrap().topics, client.producer.unwrap().topics]
        eventually(lambda: all(known[0].partitions(f"{topic}.reply") for topic in topics))
        eventually(lambda: all(known[1].partitions(topic) for topic in topics))
        stranger = peers.topic()
        client.emit(stranger, "asks for one topic, and so not for all")

        assert [client.send(topic, topic, timeout=PATIENCE) for topic in topics] == topics


def test_replies_reach_their_own_caller_among_many_threads(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    callers, requests = 32, 10

    with peers.client(pattern) as client, ThreadPoolExecutor(callers) as executor:

        def call(caller):
            return [
                client.send(pattern, {"from": [caller, number]}, timeout=PATIENCE)
                for number in range(requests)
            ]

        answers = list(executor.map(call, range(callers)))

    expected = [[{"from": [caller, n]} for n in range(requests)] for caller in range(callers)]
    assert answers == expected


def test_replies_of_other_instances_are_never_delivered(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    direct = {"mode": "direct"}

    with (
        peers.client(pattern, reply=direct) as first,
        peers.client(pattern, reply=direct) as second,
    ):
        futures = [
            (text, client.send_future(pattern, text, timeout=PATIENCE))
            for number in range(50)
            for text, client in [(f"first-{number}", first), (f"second-{number}", second)]
        ]
        assert [future.result(PATIENCE) for _, future in futures] == [text for text, _ in futures]


def test_direct_mode_needs_no_group(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=2)
    serve_echo(peers, pattern)

    with peers.client(pattern, reply={"mode": "direct", "partition": 1}) as client:
        _, member, fetcher = client.unwrap()
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        assert member is None
        assert fetcher is not None

    (request,) = wire.records(pattern)
    assert request.header(REPLY_PARTITION) == b"1"


def test_request_without_reply_ends_with_the_default_timeout(peers: Peers):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, reply={"timeout_ms": 200}) as client:
        let_know(client, pattern)
        started = time.monotonic()
        with pytest.raises(RequestTimeout, match=re.escape(f"no reply to {pattern!r} within 0.2")):
            client.send(pattern, "anybody?")
        waited = time.monotonic() - started

    assert 0.2 <= waited < 10
    assert issubclass(RequestTimeout, TimeoutError)


@pytest.mark.parametrize("how", ["send", "send_future", "stream"])
def test_timeout_of_the_call_goes_before_the_default(peers: Peers, how):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        asking = {
            "send": lambda: client.send(pattern, "anybody?", timeout=0.2),
            "send_future": lambda: client.send_future(pattern, "anybody?", timeout=0.2).result(),
            "stream": lambda: next(client.stream(pattern, "anybody?", timeout=0.2)),
        }
        let_know(client, pattern)
        started = time.monotonic()
        with pytest.raises(RequestTimeout):
            asking[how]()

        assert 0.2 <= time.monotonic() - started < 10


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e11])
@pytest.mark.parametrize("how", ["send", "send_future", "stream", "emit", "emit_future"])
def test_timeout_that_no_thread_can_wait_is_refused(peers: Peers, how, timeout):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        with pytest.raises(ConfigurationError, match="no call waits"):
            getattr(client, how)(pattern, "hero", timeout=timeout)

        assert client.health().pending == 0


def test_reply_that_comes_too_late_is_not_given_to_the_next_request(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern, gate)

    with peers.client(pattern) as client:
        let_know(client, pattern)
        with pytest.raises(RequestTimeout):
            client.send(pattern, "wait", timeout=0.2)
        gate.set()
        eventually(lambda: wire.ends(f"{pattern}.reply") == {0: 1})

        assert client.send(pattern, "next", timeout=PATIENCE) == "next"


def test_error_of_the_handler_is_raised_to_the_caller(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def kill_dragon(payload):
        raise RpcException({"code": 404, "message": "no such dragon"})

    with server, peers.client(pattern) as client:
        with pytest.raises(RpcException, match="no such dragon") as raised:
            client.send(pattern, {"id": 3}, timeout=PATIENCE)
        future = client.send_future(pattern, {"id": 4}, timeout=PATIENCE)
        of_future = future.exception(PATIENCE)

    assert raised.value.error == {"code": 404, "message": "no such dragon"}
    assert isinstance(of_future, RpcException)
    assert of_future.error == raised.value.error


def test_send_before_subscribing_to_the_response_is_refused_and_nothing_is_sent(
    peers: Peers, wire: Wire
):
    pattern = peers.topic(replies=1)
    client = peers.client()

    with pytest.raises(NotSubscribedToReply, match=rf"subscribe_to_response_of\('{pattern}'\)"):
        client.send(pattern, "hero")

    assert wire.ends(pattern) == {0: 0}


def test_instance_without_a_reply_partition_says_how_to_mend_it(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern) as first, peers.client(pattern) as second:
        with pytest.raises(NoReplyPartition) as refusal:
            second.send(pattern, "hero", timeout=PATIENCE)

        assert f"'{pattern}.reply'" in str(refusal.value)
        assert f"'{second.group_id}'" in str(refusal.value)
        assert 'reply.mode to "direct"' in str(refusal.value)
        assert f"kafka-topics.sh --bootstrap-server {peers.broker.bootstrap_servers[0]}" in str(
            refusal.value
        )
        assert f"--alter --topic {pattern}.reply --partitions N" in str(refusal.value)
        assert wire.ends(pattern) == {0: 0}
        assert first.send(pattern, "hero", timeout=PATIENCE) == "hero"


def test_instance_without_a_reply_partition_takes_over_that_of_one_that_leaves(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern) as first, peers.client(pattern) as second:
        first.close()

        answer = eventually(
            lambda: second.send(pattern, "hero", timeout=PATIENCE),
            PATIENCE,
            retry_on=NoReplyPartition,
        )

    assert answer == "hero"


def test_future_ends_with_the_reply_and_calls_back_on_the_callback_thread(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    called_back = []

    with peers.client(pattern) as client:
        future = client.send_future(pattern, {"id": 1}, timeout=PATIENCE)
        future.add_done_callback(
            lambda done: called_back.append((done.result(), threading.current_thread().name))
        )
        assert future.result(PATIENCE) == {"id": 1}
        eventually(lambda: called_back)

    assert called_back == [({"id": 1}, "kafka-patterns-hero-client-callbacks")]


def test_cancelled_future_frees_its_place(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern, gate)

    with peers.client(pattern, reply={"max_pending": 1}) as client:
        future = client.send_future(pattern, "wait", timeout=PATIENCE)
        with pytest.raises(TooManyPendingRequests, match=r"reply\.max_pending"):
            client.send(pattern, "hero", timeout=PATIENCE)

        assert future.cancel()

        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        with pytest.raises(CancelledError):
            future.result(0)
        assert wait_for_futures([future], PATIENCE).done == {future}


def serve_story(peers: Peers, pattern):
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield {"chapter": 1}
        yield "two"
        if payload == "fails":
            raise RpcException("the end is lost")
        yield 3

    return server.start()


def test_stream_gives_every_reply_in_order(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_story(peers, pattern)

    with peers.client(pattern) as client:
        assert list(client.stream(pattern, {}, timeout=PATIENCE)) == [{"chapter": 1}, "two", "3"]


def test_stream_raises_the_error_after_the_values_before_it(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_story(peers, pattern)
    received: list[Any] = []

    with peers.client(pattern) as client:
        stream = client.stream(pattern, "fails", timeout=PATIENCE)
        with pytest.raises(RpcException, match="the end is lost"):
            received.extend(stream)
        # Values taken by extend() before an error are kept.
        assert received == [{"chapter": 1}, "two"]
        assert list(stream) == []


def test_stream_closed_early_frees_its_place(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_story(peers, pattern)

    with peers.client(pattern, reply={"max_pending": 1}) as client:
        with client.stream(pattern, {}, timeout=PATIENCE) as stream:
            assert next(stream) == {"chapter": 1}

        assert list(client.stream(pattern, {}, timeout=PATIENCE))[-1] == "3"


def test_send_takes_the_first_of_several_replies(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_story(peers, pattern)

    with peers.client(pattern) as client:
        assert client.send(pattern, {}, timeout=PATIENCE) == {"chapter": 1}
        assert client.send(pattern, {}, timeout=PATIENCE) == {"chapter": 1}


def test_stream_ends_with_its_total_timeout(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def endless(payload):
        yield "first"
        assert gate.wait(PATIENCE)

    with server, peers.client(pattern) as client:
        stream = client.stream(pattern, {}, timeout=PATIENCE, total_timeout=2.0)
        assert next(stream) == "first"
        with pytest.raises(RequestTimeout, match="no further reply"):
            next(stream)
        gate.set()


def test_request_on_a_topic_without_message_handler_is_answered(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    handled = []

    @server.event_pattern(pattern)
    def entered(event):
        handled.append(event)

    with server, peers.client(pattern) as client, pytest.raises(RpcException) as raised:
        client.send(pattern, {"id": 1}, timeout=PATIENCE)

    assert raised.value.error == (
        "There is no matching message handler defined in the remote service."
    )
    assert handled == [{"id": 1}]
