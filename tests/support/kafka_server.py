"""Apache Kafka for the tests that only a real broker can judge."""

from __future__ import annotations

import base64
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import KafkaError
from typing_extensions import Self

from tests.support.kafka_distribution import KAFKA_VERSIONS
from tests.support.kafka_node import KafkaNode
from tests.support.processes import EndedEarlyError
from tests.support.waiting import eventually

__all__ = ["KafkaCluster", "KafkaServer"]

_READY_TIMEOUT = 50.0
_REQUEST_TIMEOUT_MS = 15_000


class KafkaCluster:
    """Nodes of Apache Kafka on loopback ports, with their data in a temporary folder.

    :param nodes: how many, each a broker and a controller.
    :param version: of Apache Kafka.
    :param properties: settings of the server, over those the tests need.
    :param listeners: names of listeners beside ``PLAINTEXT``, which the properties describe.
    :param scram: users, as ``kafka-storage format --add-scram`` takes them.
    :param ready_seconds: in which all nodes take part, once they were started.
    :raises RuntimeError: if Java or Maven is missing, or Kafka cannot be downloaded.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        version: str = KAFKA_VERSIONS[-1],
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        scram: Sequence[str] = (),
        ready_seconds: float = _READY_TIMEOUT,
    ) -> None:
        self.version = version
        self._ready_seconds = ready_seconds
        self._temporary = tempfile.TemporaryDirectory(prefix="kafka-patterns-kafka-")
        folder = Path(self._temporary.name)
        self.nodes = [
            KafkaNode(
                node_id, version=version, folder=folder / f"node-{node_id}", listeners=listeners
            )
            for node_id in range(1, nodes + 1)
        ]
        self._properties = dict(properties or {})
        self._scram = list(scram)
        self._formatted = False
        self._admin: Any = None

    @property
    def bootstrap_servers(self) -> list[str]:
        """The addresses of all nodes, running or not."""
        return [node.bootstrap_server for node in self.nodes]

    def start(self) -> Self:
        """Start the nodes that do not run and wait until all brokers are in the metadata."""
        try:
            self._format_once()
            for node in self.nodes:
                if not node.is_running:
                    node.start()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def wait_until_ready(self) -> None:
        """Wait until every node takes part.

        :raises AssertionError: with the end of the nodes' logs if they do not come up.
        """
        eventually(
            self._all_registered, self._ready_seconds, describe=self.report, retry_on=KafkaError
        )

    def stop(self) -> None:
        """Shut all nodes down in an orderly way; their data stays."""
        self._forget_admin()
        for node in self.nodes:
            if node.is_running:
                node.process.terminate()
        for node in self.nodes:
            if node.is_running:
                node.stop()

    def close(self) -> None:
        """Kill all nodes and delete their data. Safe to call twice."""
        self._forget_admin()
        for node in self.nodes:
            node.close()
        self._temporary.cleanup()

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Create *topic* and wait until each partition has a leader."""
        replicas = min(3, len(self.nodes))
        new_topic = NewTopic(topic, num_partitions=partitions, replication_factor=replicas)
        self._connected_admin().create_topics([new_topic], timeout_ms=_REQUEST_TIMEOUT_MS)
        eventually(
            lambda: self._partitions_with_leader(topic) == partitions,
            describe=f"{partitions} partitions of {topic} with a leader each",
        )

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Give *topic* so many partitions, and wait until each has a leader."""
        grown = {topic: NewPartitions(partitions)}
        self._connected_admin().create_partitions(grown, timeout_ms=_REQUEST_TIMEOUT_MS)
        eventually(
            lambda: self._partitions_with_leader(topic) == partitions,
            describe=f"{partitions} partitions of {topic} with a leader each",
        )

    def delete_topic(self, topic: str) -> None:
        """Delete *topic* and wait until nobody knows it."""
        self._connected_admin().delete_topics([topic], timeout_ms=_REQUEST_TIMEOUT_MS)
        eventually(
            lambda: topic not in self._connected_admin().list_topics(),
            describe=f"the end of {topic}",
        )

    def report(self) -> str:
        """The end of every node's log, for the report of a failed test."""
        return "".join(node.process.report() for node in self.nodes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _format_once(self) -> None:
        if self._formatted:
            return
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._configure()
        for node in self.nodes:
            node.format(cluster_id, scram=self._scram)
        self._formatted = True

    def _configure(self) -> None:
        voters = [node.voter for node in self.nodes]
        for node in self.nodes:
            node.configure(voters=voters, properties=self._properties)

    def _all_registered(self) -> bool:
        if not all(node.is_running for node in self.nodes):
            raise EndedEarlyError(self.report())
        if not any(node.is_listening for node in self.nodes):
            return False
        cluster = self._connected_admin().describe_cluster()
        return len(cluster["brokers"]) == len(self.nodes)

    def _partitions_with_leader(self, topic: str) -> int:
        (described,) = self._connected_admin().describe_topics([topic])
        return sum(1 for partition in described["partitions"] if partition["leader"] > 0)

    def _connected_admin(self) -> Any:
        if self._admin is None:
            self._admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers, request_timeout_ms=_REQUEST_TIMEOUT_MS
            )
        return self._admin

    def _forget_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()


class KafkaServer(KafkaCluster):
    """One node of Apache Kafka that can be stopped, killed, frozen and started again."""

    def __init__(
        self,
        *,
        version: str = KAFKA_VERSIONS[-1],
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        scram: Sequence[str] = (),
    ) -> None:
        super().__init__(
            1, version=version, properties=properties, listeners=listeners, scram=scram
        )

    def address(self, listener: str) -> str:
        """The address of one of its listeners."""
        return self.nodes[0].address(listener)

    @property
    def is_running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self.nodes[0].is_running

    def kill(self) -> None:
        """Kill it with SIGKILL; its data and its port stay."""
        self._forget_admin()
        self.nodes[0].kill()

    def restart(self, properties: Mapping[str, str] | None = None) -> None:
        """Start it again after :meth:`stop` or :meth:`kill`, or stop and start it.

        :param properties: settings of the server to change meanwhile.
        """
        self.stop()
        self._properties.update(properties or {})
        self._configure()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self._forget_admin()
        self.nodes[0].process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.nodes[0].process.resume()
