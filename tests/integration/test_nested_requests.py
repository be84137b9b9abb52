"""A request that a handler sends waits no longer than the handler's own caller."""

from __future__ import annotations

import time

import pytest

from kafka_patterns import RequestTimeout
from kafka_patterns.consuming.inherited import CLOCK_SKEW_SECONDS
from tests.integration.peers import PATIENCE, Peers, let_know
from tests.integration.wire import DEADLINE, Wire
from tests.support.waiting import eventually


def test_nested_request_carries_the_deadline_of_the_outer_one(peers: Peers, wire: Wire):
    outer, inner = peers.topic("outer", replies=1), peers.topic("inner", replies=1)
    inner_server, outer_server = peers.server(group=f"{peers.group}.inner"), peers.server()
    inside = peers.client(inner, group=f"{peers.group}.inside")

    @inner_server.message_pattern(inner)
    def answer(payload):
        return "inner"

    @outer_server.message_pattern(outer)
    def ask(payload):
        return inside.send(inner, payload, timeout=3600)

    with inner_server, outer_server, peers.client(outer) as client:
        assert client.send(outer, "hero", timeout=PATIENCE) == "inner"

    ((outer_request,), (inner_request,)) = wire.records(outer), wire.records(inner)
    assert inner_request.header(DEADLINE) == outer_request.header(DEADLINE)


def test_shorter_timeout_of_the_nested_request_stays(peers: Peers, wire: Wire):
    outer, inner = peers.topic("outer", replies=1), peers.topic("inner", replies=1)
    server = peers.server()
    inside = peers.client(inner, group=f"{peers.group}.inside")

    @server.message_pattern(outer)
    def ask(payload):
        try:
            inside.send(inner, payload, timeout=0.1)
        except RequestTimeout:
            return "nobody"

    with server, inside, peers.client(outer) as client:
        let_know(inside, inner)
        assert client.send(outer, "hero", timeout=PATIENCE) == "nobody"
        eventually(lambda: wire.ends(inner) == {0: 1})

    ((outer_request,), (inner_request,)) = wire.records(outer), wire.records(inner)
    assert int(inner_request.header(DEADLINE)) < int(outer_request.header(DEADLINE))


@pytest.mark.parametrize("inherit", [True, False])
def test_request_that_nobody_waits_for_is_not_sent(peers: Peers, wire: Wire, inherit):
    outer, inner = peers.topic("outer", replies=1), peers.topic("inner", replies=1)
    server = peers.server()
    inside = peers.client(inner, group=f"{peers.group}.inside", reply={"inherit_deadline": inherit})
    errors = []

    @server.message_pattern(outer)
    def ask(payload):
        try:
            inside.send(inner, payload, timeout=0.1)
        except RequestTimeout as error:
            errors.append(str(error))

    over = time.time() - CLOCK_SKEW_SECONDS - 1
    with server, inside:
        let_know(inside, inner)
        wire.request(outer, b"hero", headers=[(DEADLINE, b"%d" % (over * 1000))])
        eventually(lambda: errors, PATIENCE)

    assert ("waits no longer" in errors[0]) is inherit
    eventually(lambda: wire.ends(inner) == {0: 0 if inherit else 1})


def test_generator_handler_inherits_as_well(peers: Peers, wire: Wire):
    outer, inner = peers.topic("outer", replies=1), peers.topic("inner", replies=1)
    server = peers.server()
    inside = peers.client(inner, group=f"{peers.group}.inside")

    @server.message_pattern(outer)
    def ask(payload):
        inside.send_future(inner, payload, timeout=3600)
        yield "asked"

    with server, peers.client(outer) as client:
        assert list(client.stream(outer, "hero", timeout=PATIENCE)) == ["asked"]
        eventually(lambda: wire.ends(inner) == {0: 1})

    ((outer_request,), (inner_request,)) = wire.records(outer), wire.records(inner)
    assert inner_request.header(DEADLINE) == outer_request.header(DEADLINE)
