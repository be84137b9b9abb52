"""The network client under all parts."""

from __future__ import annotations

import selectors
import socket
import time

import pytest
from kafka.future import Future as KafkaFuture
from kafka.protocol.metadata import MetadataRequest

from kafka_patterns.transport.base import Interrupted
from kafka_patterns.transport.kafka_python.network import InterruptibleClient, await_future


@pytest.fixture
def client(own, hero) -> InterruptibleClient:
    reader = own.reader()
    client = reader.unwrap()._client
    while not client.ready(node_of(client), metadata_priority=False):
        client.poll(timeout_ms=20)
    return client


def node_of(client: InterruptibleClient):
    return client.least_loaded_node()


def test_connection_that_closes_under_a_queued_request_fails_that_alone(client) -> None:
    node = node_of(client)
    queued = client.send(node, MetadataRequest[1]([]))
    client._conns[node].close()

    client.poll(timeout_ms=0)

    assert queued.failed()
    assert client.cluster.brokers()


def test_waiting_for_a_future_is_bounded(client) -> None:
    started = time.monotonic()

    assert not await_future(client, KafkaFuture(), started + 0.2)

    assert 0.2 <= time.monotonic() - started < 10


def test_future_that_is_done_needs_no_network(client) -> None:
    client.interrupt()

    assert await_future(client, KafkaFuture().success(1), time.monotonic())


def test_every_wait_after_an_interrupt_is_broken_off(client) -> None:
    client.interrupt()

    for _ in range(2):
        with pytest.raises(Interrupted):
            client.poll(timeout_ms=0)
        with pytest.raises(Interrupted):
            await_future(client, KafkaFuture(), time.monotonic() + 30)


def test_socket_that_was_closed_meanwhile_is_no_news(client) -> None:
    near, far = socket.socketpair()
    client._selector.register(near, selectors.EVENT_READ, None)
    client._selector.unregister(near)
    near.close()
    far.close()

    assert client._selector.unregister(near) is None
