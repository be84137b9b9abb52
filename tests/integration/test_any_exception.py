"""Exceptions that are no ``Exception``, and what handlers leave in their threads, over a broker."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar

import pytest

from kafka_patterns import DeadLetter, Retry, RpcException, fixed
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def test_request_whose_handler_exits_is_answered_and_the_next_one_too(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server(run={"workers": 1})

    @server.message_pattern(pattern)
    def pay(payload):
        if payload == "exit":
            sys.exit(1)
        return "paid"

    with server, peers.client(pattern) as client:
        with pytest.raises(RpcException) as caught:
            client.send(pattern, "exit", timeout=PATIENCE)
        assert client.send(pattern, "go on", timeout=PATIENCE) == "paid"
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 2})

    assert caught.value.error == {"status": "error", "message": "Internal server error"}


def test_cancelled_event_becomes_a_dead_letter(peers: Peers, wire: Wire):
    topic = peers.topic()
    letters = peers.topic()
    server = peers.server()
    tries = []

    @server.event_pattern(
        topic,
        retry=Retry(max_attempts=2, backoff=fixed(0.01)),
        dead_letter=DeadLetter(topic=letters),
    )
    def entered(event):
        tries.append(event)
        raise asyncio.CancelledError

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert tries == ["hero", "hero"]
    (letter,) = wire.records(letters)
    assert letter.value == b"hero"


def test_messages_of_one_worker_see_nothing_of_each_other(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(run={"workers": 1})
    seen = []

    @server.event_pattern(topic)
    def entered(event):
        seen.append(tenant.get())
        tenant.set(event)

    with server:
        for value in (b"one", b"two", b"three"):
            wire.produce(topic, value)
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 3})

    assert seen == ["nobody"] * 3
