"""One request to several services, and what each of them replies."""

from __future__ import annotations

import re
import threading

import pytest

from kafka_patterns import (
    ClientClosed,
    ConfigurationError,
    RpcException,
    TooManyPendingRequests,
    TooManyUnreadReplies,
)
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.support.waiting import eventually


def serve(peers: Peers, pattern, name, handler):
    """A service of its own: a server in a group of its own."""
    server = peers.server(group=f"{peers.group}.{name}")
    server.message_pattern(pattern)(handler)
    return server.start()


def test_replies_of_all_groups_are_collected(peers: Peers):
    pattern = peers.topic(replies=1)
    for name in ("one", "two", "three"):
        serve(peers, pattern, name, lambda payload, name=name: {"from": name, "got": payload})

    with peers.client(pattern) as client:
        gathered = client.gather(pattern, "bids?", expected=3, timeout=PATIENCE)

    assert gathered.complete
    assert sorted(value["from"] for value in gathered.values) == ["one", "three", "two"]
    assert gathered.errors == []


def test_error_of_one_is_part_of_the_result(peers: Peers):
    pattern = peers.topic(replies=1)
    serve(peers, pattern, "good", lambda payload: 5)

    def fail(payload):
        raise RpcException({"code": 404})

    serve(peers, pattern, "bad", fail)

    with peers.client(pattern) as client:
        gathered = client.gather(pattern, "?", expected=2, timeout=PATIENCE, returns=int)

    assert gathered.complete
    assert gathered.values == [5]
    (error,) = gathered.errors
    assert isinstance(error, RpcException)
    assert error.error == {"code": 404}


def test_what_came_until_the_timeout_is_a_partial_result(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    serve(peers, pattern, "fast", lambda payload: "fast")

    def wait(payload):
        assert gate.wait(PATIENCE)
        return "slow"

    serve(peers, pattern, "slow", wait)

    with peers.client(pattern) as client:
        # Both have joined and one has answered, however long that takes here.
        eventually(
            lambda: client.gather(pattern, "?", expected=1, timeout=PATIENCE).values == ["fast"],
            PATIENCE,
        )
        gathered = client.gather(pattern, "?", expected=2, timeout=3.0)

        assert gathered.values == ["fast"]
        assert gathered.timed_out
        assert client.health().patterns[pattern].timed_out == 1


def test_predicate_decides_when_there_is_enough(peers: Peers):
    pattern = peers.topic(replies=1)
    serve(peers, pattern, "one", lambda payload: 1)
    serve(peers, pattern, "two", lambda payload: 2)
    threads = []

    def has_two(replies):
        threads.append(threading.current_thread())
        return any(reply.value == "2" for reply in replies)

    with peers.client(pattern) as client:
        gathered = client.gather(pattern, "?", until=has_two, timeout=PATIENCE)

    assert "2" in gathered.values
    assert gathered.complete
    assert set(threads) == {threading.current_thread()}


@pytest.mark.parametrize("asked", [{}, {"expected": 0}, {"expected": 1, "until": len}])
def test_unclear_end_is_refused(peers: Peers, asked):
    client = peers.client("hero.unclear")

    with pytest.raises(ConfigurationError, match=r"expected=.*until="):
        client.gather("hero.unclear", "?", **asked)


def test_gathering_takes_one_place_and_frees_it(peers: Peers, wire):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, reply={"max_pending": 1}) as client:
        let_know(client, pattern)
        assert client.gather(pattern, "?", expected=1, timeout=0.1).replies == ()
        future = client.send_future(pattern, "?", timeout=PATIENCE)
        with pytest.raises(TooManyPendingRequests):
            client.gather(pattern, "?", expected=1)
        future.cancel()


def test_close_ends_a_gathering(peers: Peers):
    pattern = peers.topic(replies=1)
    client = peers.client(pattern).connect()
    errors = []

    def gather():
        try:
            client.gather(pattern, "?", expected=1, timeout=PATIENCE)
        except ClientClosed as error:
            errors.append(error)

    thread = threading.Thread(target=gather)
    thread.start()
    eventually(lambda: client.health().pending == 1)
    client.close()
    thread.join(PATIENCE)

    assert len(errors) == 1


def test_stream_that_is_read_too_slowly_fails_alone(peers: Peers, wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield from range(5)

    with server, peers.client(pattern, reply={"max_unread": 2}) as client:
        stream = client.stream(pattern, {}, timeout=PATIENCE)
        eventually(lambda: client.health().patterns[pattern].failed == 1, PATIENCE)

        assert [next(stream), next(stream)] == ["0", "1"]
        with pytest.raises(TooManyUnreadReplies, match=re.escape(f"{pattern}.reply")):
            next(stream)
        # Others of the same partition go on.
        assert client.send(pattern, {}, timeout=PATIENCE) == "0"
        assert list(stream) == []
