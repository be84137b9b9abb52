"""The embedded broker inside its process: mock brokers and the gateways before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.testing.gateway import HOST, Gateway
from kafka_patterns.testing.mock_cluster import MockCluster
from kafka_patterns.testing.sync_order import SyncOrder

__all__ = ["BrokerService"]

_COMMANDS_OF_CLUSTER = frozenset(
    {
        "clear_request_errors",
        "create_topic",
        "delete_records",
        "delete_topic",
        "push_request_errors",
        "set_coordinator",
        "set_partition_leader",
        "set_round_trip_time",
    }
)


class BrokerService:
    """A cluster that clients can reach. Belongs to one event loop.

    :param brokers: how many; their ids count from 1.
    :param port: where the first one is reached, the others on the ports after it; 0 for free
        ones.
    :raises ConfigurationError: if librdkafka is missing.
    """

    def __init__(self, *, brokers: int, port: int) -> None:
        self._cluster = MockCluster(brokers=brokers)
        sync_order = SyncOrder()
        self._gateways = {
            broker_id: Gateway(
                broker_port=broker_port,
                port=port + broker_id - 1 if port else 0,
                sync_order=sync_order,
            )
            for broker_id, broker_port in enumerate(self._cluster.ports, start=1)
        }

    async def open(self) -> None:
        """Let clients in.

        :raises ConfigurationError: if a port is taken.
        """
        for broker_id, gateway in self._gateways.items():
            await gateway.open()
            self._cluster.advertise(broker_id, HOST, gateway.port)

    def close(self) -> None:
        """Cut all clients off and end the cluster; its records are lost."""
        for gateway in self._gateways.values():
            gateway.close()
        self._cluster.close()

    @property
    def bootstrap_servers(self) -> list[str]:
        """The addresses for clients, in the order of the brokers' ids."""
        return [f"{HOST}:{gateway.port}" for gateway in self._gateways.values()]

    async def carry_out(self, command: str, arguments: Mapping[str, Any]) -> None:
        """Do what :class:`~kafka_patterns.testing.EmbeddedBroker` asks for.

        :raises ConfigurationError: if that is impossible, or *command* is unknown.
        """
        if command in _COMMANDS_OF_CLUSTER:
            getattr(self._cluster, command)(**arguments)
        elif command == "set_up":
            await self._gateways[arguments["broker_id"]].open()
        elif command == "set_down":
            self._gateways[arguments["broker_id"]].close()
        else:
            raise ConfigurationError(f"the embedded broker knows no command {command!r}")
