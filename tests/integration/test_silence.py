"""The connection to the group's coordinator dies without a sign: seen, shown, and mended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kafka_patterns import KafkaStatus
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.rerouting import rerouted
from tests.support.tcp_proxy import HEARTBEAT, ProxiedConnection, TcpProxy
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("no_logs")]

PATIENT = {"max_poll_interval_ms": 300_000}


@pytest.fixture
def proxy(broker) -> Iterator[TcpProxy]:
    """What all connections of this process go through."""
    with rerouted(broker.bootstrap_servers) as made:
        yield made


def of_coordinator(connection: ProxiedConnection) -> bool:
    return HEARTBEAT in connection.api_keys


def drop_coordinators(proxy: TcpProxy, count: int = 1) -> None:
    """Drop the connections of so many members."""
    eventually(lambda: sum(map(of_coordinator, proxy.connections)) >= count, PATIENCE)
    proxy.drop_silently(of_coordinator)


def test_server_whose_coordinator_fell_silent_says_so_and_goes_on(
    proxy: TcpProxy, peers: Peers, wire: Wire
):
    topic = peers.topic()
    server = peers.server(consumer=PATIENT)
    handled: list[str] = []
    statuses: list[KafkaStatus] = []
    server.status.subscribe(statuses.append)

    @server.event_pattern(topic)
    def handle(event: str) -> None:
        handled.append(event)

    with server:
        wire.produce(topic, b"before")
        eventually(lambda: handled == ["before"], PATIENCE)

        drop_coordinators(proxy)

        eventually(lambda: KafkaStatus.DISCONNECTED in statuses, PATIENCE)
        wire.produce(topic, b"meanwhile")
        assert server.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)
        eventually(lambda: "meanwhile" in handled, PATIENCE)
        assert server.health().last_error is not None
        eventually(lambda: wire.committed(f"{peers.group}-server", topic) == {0: 2}, PATIENCE)


def test_client_whose_coordinator_fell_silent_says_so_and_goes_on(proxy: TcpProxy, peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server(group="answering")
    server.message_pattern(pattern)(lambda payload: payload)
    client = peers.client(pattern, consumer=PATIENT)
    statuses: list[KafkaStatus] = []
    client.status.subscribe(statuses.append)
    with server, client:
        assert client.send(pattern, "before", timeout=PATIENCE) == "before"

        drop_coordinators(proxy, 2)

        eventually(lambda: KafkaStatus.DISCONNECTED in statuses, PATIENCE)
        assert client.send(pattern, "meanwhile", timeout=PATIENCE) == "meanwhile"
        assert client.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)
