"""One process of Apache Kafka: a broker that is a controller as well (KRaft)."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.kafka_distribution import kafka_libraries
from tests.support.processes import ManagedProcess

__all__ = ["KafkaNode", "free_port"]

_HOST = "127.0.0.1"
_PLAINTEXT = "PLAINTEXT"
_PROXIED = "PROXIED"
_STOP_TIMEOUT = 30.0
_FORMAT_TIMEOUT = 60.0
# Below the range the kernel takes the ports of outgoing connections from, so that nobody
# sits on a node's port while it is restarted.
_PORTS = range(20000, 30000)

_PROTOCOLS = ",".join(
    [
        f"CONTROLLER:{_PLAINTEXT}",
        f"{_PROXIED}:{_PLAINTEXT}",
        *(f"{name}:{name}" for name in (_PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL")),
    ]
)

_JAVA_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port


class KafkaNode:
    """One node of a cluster; its ports and its data outlive a restart.

    A :class:`~tests.support.tcp_proxy.TcpProxy` from ``proxy_port`` to ``proxied_port`` stands
    between it and the clients that are given the proxy's address.

    :param node_id: its id, from 1.
    :param version: of Apache Kafka.
    :param folder: an own folder, for the configuration and the data.
    :param listeners: names of listeners beside ``PLAINTEXT``, each on a port of its own.
    """

    def __init__(
        self, node_id: int, *, version: str, folder: Path, listeners: Sequence[str] = ()
    ) -> None:
        self.node_id = node_id
        self.port = free_port()
        self.proxy_port = free_port()
        self._ports = {
            name: self.port if name == _PLAINTEXT else free_port()
            for name in (_PLAINTEXT, _PROXIED, *listeners)
        }
        self.controller_port = free_port()
        self._class_path = f"{kafka_libraries(version)}/*"
        self._folder = folder
        self._properties_file = folder / "server.properties"
        self._process: ManagedProcess | None = None

    @property
    def bootstrap_server(self) -> str:
        """The address for clients."""
        return f"{_HOST}:{self.port}"

    @property
    def proxied_port(self) -> int:
        """Of the listener whose clients are told to connect to ``proxy_port``."""
        return self._ports[_PROXIED]

    def address(self, listener: str) -> str:
        """The address of one of its listeners."""
        return f"{_HOST}:{self._ports[listener]}"

    @property
    def voter(self) -> str:
        """What the other nodes know this controller by."""
        return f"{self.node_id}@{_HOST}:{self.controller_port}"

    @property
    def process(self) -> ManagedProcess:
        """The process started last.

        :raises AssertionError: before the first start.
        """
        if self._process is None:
            raise AssertionError(f"Kafka node {self.node_id} was never started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._process is not None and self._process.is_running

    @property
    def is_listening(self) -> bool:
        """Whether something accepts connections at its address."""
        try:
            socket.create_connection((_HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def configure(self, *, voters: Sequence[str], properties: Mapping[str, str]) -> None:
        """Write the configuration, for the next start.

        :param voters: of all nodes of the cluster.
        :param properties: settings of the server that override those made here.
        """
        settings = {**self._own_properties(voters), **properties}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._properties_file.write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8"
        )

    def format(self, cluster_id: str, *, scram: Sequence[str] = ()) -> None:
        """Prepare the data folder, as it is configured.

        :param scram: users, as ``kafka-storage format --add-scram`` takes them.
        :raises RuntimeError: with Kafka's words, for example about a wrong setting.
        """
        formatted = subprocess.run(
            [
                *self._java("kafka.tools.StorageTool", "format"),
                # The id may begin with a dash.
                f"--cluster-id={cluster_id}",
                *("--config", str(self._properties_file)),
                *(word for user in scram for word in ("--add-scram", user)),
            ],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_FORMAT_TIMEOUT,
        )
        if formatted.returncode != 0:
            raise RuntimeError(
                f"Kafka node {self.node_id} could not prepare its data folder "
                f"(exit code {formatted.returncode}):\n{formatted.stdout}{formatted.stderr}"
            )

    def start(self) -> None:
        """Start the process without waiting for it to be ready."""
        if self.is_running:
            raise AssertionError(f"Kafka node {self.node_id} runs already")
        if self._process is not None:
            self._process.close()
        self._process = ManagedProcess(
            self._java("kafka.Kafka", str(self._properties_file)),
            name=f"kafka node {self.node_id}",
            directory=self._folder,
        )

    def stop(self) -> None:
        """Shut it down in an orderly way and wait until it has ended."""
        self.process.terminate()
        self.process.wait(_STOP_TIMEOUT)

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it has ended."""
        self.process.kill()

    def close(self) -> None:
        """Kill it if it runs. Safe to call twice."""
        if self._process is not None:
            self._process.close()

    def _java(self, *arguments: str) -> list[str]:
        return ["java", *_JAVA_OPTIONS, "-cp", self._class_path, *arguments]

    def _own_properties(self, voters: Sequence[str]) -> dict[str, str]:
        replicas = str(min(3, len(voters)))
        listeners = ",".join(f"{name}://{self.address(name)}" for name in self._ports)
        advertised = listeners.replace(self.address(_PROXIED), f"{_HOST}:{self.proxy_port}")
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"{listeners},CONTROLLER://{_HOST}:{self.controller_port}",
            "advertised.listeners": advertised,
            "listener.security.protocol.map": _PROTOCOLS,
            "inter.broker.listener.name": _PLAINTEXT,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._folder / "data"),
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            # Lets a test have a member expire in less than the six seconds of the default.
            "group.min.session.timeout.ms": "1000",
            # A killed broker must expire before it may register again.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            "log.index.size.max.bytes": "1048576",
        }
