"""Handlers that run once per message, over a broker."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import attrs
import pytest

from kafka_patterns import (
    Batch,
    ConfigurationError,
    DatabaseStore,
    KafkaContext,
    MemoryStore,
    Message,
    RpcException,
    idempotent,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually

KEY = "kafka_patterns-idempotency-key"


@attrs.frozen
class Order:
    id: int


@attrs.frozen
class Receipt:
    value: int
    key: str


def test_request_that_is_sent_again_gets_the_same_reply(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    paid = []

    @server.message_pattern(pattern)
    @idempotent(store=MemoryStore())
    def pay(order: Order) -> Receipt:
        paid.append(order)
        return Receipt(len(paid), f"receipt of {order.id}")

    with server:
        replies = [
            wire.request(pattern, b'{"id":1}', headers=[(KEY, key)])[0].value
            for key in (b"order-1", b"order-1", b"order-2")
        ]

    first = b'{"value":1,"key":"receipt of 1"}'
    assert replies == [first, first, b'{"value":2,"key":"receipt of 1"}']
    assert paid == [Order(1), Order(1)]


def test_error_is_not_kept(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    attempts = []

    @server.message_pattern(pattern)
    @idempotent(store=MemoryStore(), key=lambda order, _: order.id)
    def pay(order: Order):
        attempts.append(order)
        if len(attempts) == 1:
            raise RpcException("no money")
        return "paid"

    with server, peers.client(pattern) as client:
        with pytest.raises(RpcException, match="no money"):
            client.send(pattern, {"id": 1}, timeout=PATIENCE)
        assert client.send(pattern, {"id": 1}, timeout=PATIENCE) == "paid"
        assert client.send(pattern, {"id": 1}, timeout=PATIENCE) == "paid"

    assert len(attempts) == 2


def test_two_copies_at_once_run_one(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    server = peers.server(run={"workers": 4, "ordering": "unordered"})
    paid = []

    @server.message_pattern(pattern)
    @idempotent(store=MemoryStore(wait=PATIENCE), key=lambda order, _: order.id)
    def pay(order: Order):
        paid.append(order)
        gate.wait(PATIENCE)
        return "paid"

    with server, peers.client(pattern) as client:
        futures = [client.send_future(pattern, {"id": 1}, timeout=PATIENCE) for _ in range(3)]
        eventually(lambda: server.health().running == 3)
        gate.set()
        assert [future.result(PATIENCE) for future in futures] == ["paid"] * 3

    assert paid == [Order(1)]


def test_event_is_stored_once_with_what_its_handler_wrote(peers: Peers, wire: Wire, tmp_path: Path):
    topic = peers.topic()
    server = peers.server(run={"workers": 1})
    path, local = tmp_path / "orders.db", threading.local()

    def connection() -> sqlite3.Connection:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(path, check_same_thread=False)
            opened.append(local.connection)
        return local.connection

    opened: list[sqlite3.Connection] = []
    store = DatabaseStore(connection)
    store.create_table()
    connection().execute("CREATE TABLE orders (id INTEGER)")

    @server.event_pattern(topic)
    @idempotent(store=store, key=lambda order, _: order.id)
    def paid(order: Order, context: KafkaContext) -> None:
        connection().execute("INSERT INTO orders VALUES (?)", (order.id,))
        if order.id == 2 and context.attempt == 1:
            raise ValueError("broken")

    client = peers.client()
    with server:
        client.emit_batch(topic, [Message(value={"id": number}) for number in (1, 2, 1, 2, 3)])
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 5})

    rows = connection().execute("SELECT id FROM orders ORDER BY rowid").fetchall()
    assert rows == [(1,), (2,), (3,)]
    for each in opened:
        each.close()


def test_batch_handlers_are_refused(peers: Peers):
    server = peers.server()

    with pytest.raises(ConfigurationError, match="@idempotent keeps one reply for one message"):

        @server.event_pattern("hero", batch=Batch())
        @idempotent(store=MemoryStore())
        def entered(events: list[Order]) -> None: ...
