"""At ``reply.max_pending`` a request fails at once, or waits for a place, within bounds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from kafka_patterns import ClientClosed, TooManyPendingRequests
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import DEADLINE, Wire
from tests.support.waiting import eventually

FOR_LONG = int(PATIENCE * 1000)
FULL = {"max_pending": 1, "max_pending_wait_ms": FOR_LONG}


def serve_echo(peers: Peers, pattern):
    server = peers.server(run={"workers": 8})
    server.message_pattern(pattern)(lambda payload: payload)
    return server.start()


def is_waiting_for_a_place(client):
    """Whether a caller waits for a place; nothing public tells of it."""
    return bool(client._pending._places._queue)


ASK = {
    "send": lambda client, pattern: client.send(pattern, "x", timeout=PATIENCE),
    "stream": lambda client, pattern: next(client.stream(pattern, "x", timeout=PATIENCE)),
    "gather": lambda client, pattern: client.gather(
        pattern, "x", expected=1, timeout=PATIENCE
    ).values[0],
}


@pytest.mark.parametrize("how", ASK)
def test_request_waits_until_another_one_ends(peers: Peers, how):
    pattern, silent = peers.topic(replies=1), peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern, silent, reply=FULL) as client, ThreadPoolExecutor(1) as executor:
        first = client.send_future(silent, "nobody answers", timeout=600)
        second = executor.submit(ASK[how], client, pattern)
        eventually(lambda: is_waiting_for_a_place(client), PATIENCE)
        assert client.health().pending == 1

        first.cancel()

        assert second.result(PATIENCE) == "x"
        assert client.health().patterns[pattern].sent == 1


def test_callers_take_turns(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)

    with (
        peers.client(pattern, reply={**FULL, "max_pending": 2}) as client,
        ThreadPoolExecutor(16) as executor,
    ):

        def call(caller):
            return [client.send(pattern, f"{caller}.{n}", timeout=PATIENCE) for n in range(10)]

        answers = list(executor.map(call, range(16)))

    assert answers == [[f"{caller}.{n}" for n in range(10)] for caller in range(16)]
    assert client.health().replied == 160


def test_callback_of_a_future_finds_its_place_free(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    chained: list[Future[Any]] = []

    with peers.client(pattern, reply={"max_pending": 1}) as client:
        first = client.send_future(pattern, "first", timeout=PATIENCE)
        first.add_done_callback(
            lambda _: chained.append(client.send_future(pattern, "next", timeout=PATIENCE))
        )
        eventually(lambda: chained, PATIENCE)

        assert chained[0].result(PATIENCE) == "next"


def test_send_future_never_waits_for_a_place(peers: Peers):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, reply=FULL) as client:
        client.send_future(pattern, "x", timeout=600)
        started = time.monotonic()

        with pytest.raises(TooManyPendingRequests, match="not sent"):
            client.send_future(pattern, "x", timeout=600)

        assert time.monotonic() - started < PATIENCE / 2


@pytest.mark.parametrize(
    ("wait_ms", "timeout"),
    [pytest.param(50, PATIENCE, id="of the option"), pytest.param(FOR_LONG, 0.05, id="its own")],
)
def test_wait_ends_with_the_lesser_bound_and_nothing_is_sent(
    peers: Peers, wire: Wire, wait_ms, timeout
):
    pattern = peers.topic(replies=1)

    with peers.client(pattern, reply={**FULL, "max_pending_wait_ms": wait_ms}) as client:
        first = client.send_future(pattern, "x", timeout=600)
        started = time.monotonic()
        with pytest.raises(TooManyPendingRequests, match=r"within 0\.05 s.*not sent"):
            client.send(pattern, "y", timeout=timeout)
        assert time.monotonic() - started < PATIENCE / 2

        # Nobody waits any more: the place is there for the next.
        first.cancel()
        client.send_future(pattern, "z", timeout=600)
        eventually(lambda: wire.ends(pattern) == {0: 2}, PATIENCE)
        assert client.health().sent == 2


def test_wait_for_a_place_does_not_put_off_the_deadline(peers: Peers, wire: Wire):
    pattern, silent = peers.topic(replies=1), peers.topic(replies=1)
    serve_echo(peers, pattern)

    with peers.client(pattern, silent, reply=FULL) as client, ThreadPoolExecutor(1) as executor:
        first = client.send_future(silent, "nobody answers", timeout=600)
        second = executor.submit(client.send, pattern, "y", timeout=PATIENCE)
        eventually(lambda: is_waiting_for_a_place(client), PATIENCE)
        freed_at = time.time()
        first.cancel()

        assert second.result(PATIENCE) == "y"

    (request,) = wire.records(pattern)
    assert int(request.header(DEADLINE)) / 1000 <= freed_at + PATIENCE


def test_close_ends_those_who_wait_for_a_place(peers: Peers):
    pattern = peers.topic(replies=1)
    client = peers.client(pattern, reply=FULL).connect()
    client.send_future(pattern, "x", timeout=600)

    with ThreadPoolExecutor(8) as executor:
        waiting = [executor.submit(client.send, pattern, "y", timeout=PATIENCE) for _ in range(8)]
        eventually(lambda: len(client._pending._places._queue) == 8, PATIENCE)
        client.close()
        errors = [future.exception(PATIENCE) for future in waiting]

    assert [type(error) for error in errors] == [ClientClosed] * 8


def test_client_that_connects_again_has_all_its_places(peers: Peers):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    client = peers.client(pattern, reply=FULL).connect()
    client.send_future(pattern, "x", timeout=600)
    client.close()

    with client.connect():
        for number in range(3):
            assert client.send(pattern, number, timeout=PATIENCE) == str(number)


@pytest.mark.parametrize("max_pending", [10_000, 4])
def test_close_amid_requests_ends_each_with_client_closed(peers: Peers, max_pending):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    client = peers.client(pattern, reply={**FULL, "max_pending": max_pending}).connect()
    busy = threading.Barrier(17)

    def call_until_it_ends():
        client.send(pattern, "warm", timeout=PATIENCE)
        busy.wait(PATIENCE)
        while True:
            client.send(pattern, "x", timeout=PATIENCE)

    with ThreadPoolExecutor(16) as executor:
        calling = [executor.submit(call_until_it_ends) for _ in range(16)]
        busy.wait(PATIENCE)
        client.close()
        errors = [future.exception(PATIENCE) for future in calling]

    assert {type(error) for error in errors} == {ClientClosed}
