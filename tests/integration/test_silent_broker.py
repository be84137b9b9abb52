"""One broker of several takes connections and never answers, as one that hangs does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import client_async, conn
from kafka.cluster import ClusterMetadata

from kafka_patterns import ClientKafkaProxy, KafkaStatus, ServerKafka
from kafka_patterns.testing import EmbeddedBroker
from tests.integration.peers import PATIENCE

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_logs")]

BOUND_SECONDS = 20
"""Less than the 30 s after which a question to the silent broker ends by itself."""


@pytest.fixture(scope="module")
def two_brokers() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(brokers=2) as broker:
        yield broker


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(params=["a bootstrap address", "broker 1", "broker 2"])
def addresses(
    request: pytest.FixtureRequest,
    two_brokers: EmbeddedBroker,
    silent_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """Where clients of this process look for brokers; they ask the silent one first."""
    broker_metadata = ClusterMetadata.broker_metadata

    def with_a_silent_one(cluster: ClusterMetadata, broker_id: Any) -> Any:
        broker = broker_metadata(cluster, broker_id)
        if broker is not None and request.param == f"broker {broker_id}":
            return broker._replace(port=silent_port)
        return broker

    def silent_first(node_ids: list[Any]) -> None:
        node_ids.sort(key=is_silent, reverse=True)

    def is_silent(node_id: Any) -> bool:
        if request.param == "a bootstrap address":
            return bool(node_id == "bootstrap-0")
        return bool(request.param == f"broker {node_id}")

    monkeypatch.setattr(ClusterMetadata, "broker_metadata", with_a_silent_one)
    monkeypatch.setattr(conn, "shuffle", lambda hosts: None)
    monkeypatch.setattr(client_async, "random", SimpleNamespace(shuffle=silent_first))
    if request.param == "a bootstrap address":
        return [f"127.0.0.1:{silent_port}", *two_brokers.bootstrap_servers]
    return two_brokers.bootstrap_servers


@pytest.fixture
def answering(addresses: list[str], request: pytest.FixtureRequest) -> int:
    """The id of a broker that answers."""
    return 2 if request.node.callspec.params["addresses"] == "broker 1" else 1


def took(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize("api_version", [None, "2.4.0"])
def test_server_starts_and_client_connects_beside_a_silent_broker(
    addresses: list[str], answering: int, two_brokers: EmbeddedBroker, api_version: str | None
) -> None:
    client_options = {
        "brokers": addresses,
        "connection_timeout_ms": BOUND_SECONDS * 1000,
        "api_version": api_version,
    }
    name = f"silent-{time.time_ns()}"
    for topic in (name, f"{name}.ask", f"{name}.ask.reply"):
        two_brokers.create_topic(topic)
        two_brokers.set_partition_leader(topic, 0, answering)
    two_brokers.set_coordinator(f"{name}-server", answering)
    server = ServerKafka({"client": client_options, "consumer": {"group_id": name}})

    @server.event_pattern(name)
    def handle(event: str) -> None:
        pass

    @server.message_pattern(f"{name}.ask")
    def answer(question: str) -> str:
        return question

    assert took(server.start) < BOUND_SECONDS
    try:
        client = ClientKafkaProxy({"client": client_options})
        client.subscribe_to_response_of(f"{name}.ask")
        assert took(client.connect) < BOUND_SECONDS
        client.close()
        assert server.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)
    finally:
        server.stop()
