"""A Kafka broker for tests, demos and examples that needs no Java and no docker."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from kafka_patterns.errors import ConfigurationError, NotConnected
from kafka_patterns.testing.api_keys import ApiKey
from kafka_patterns.testing.control import BrokerProcess
from kafka_patterns.testing.librdkafka import find_librdkafka

__all__ = ["EmbeddedBroker", "embedded_tuning"]

_START_TIMEOUT = 30.0
_COMMAND_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 2.0
_NO_BROKER = -1
_ALL_BROKERS = -1


def embedded_tuning() -> dict[str, int]:
    """Return the options of the ``consumer`` section that suit the embedded broker.

    It lets a join to a running group wait ``session_timeout_ms`` less one second, 4 s at most;
    with these options 2 s.
    """
    return {
        "fetch_max_wait_ms": 10,
        "session_timeout_ms": 3000,
        "heartbeat_interval_ms": 300,
    }


class EmbeddedBroker:
    """librdkafka's mock cluster, in a process of its own, on loopback addresses.

    Real TCP and the real protocol, consumer groups included. It is for convenience, never for
    judging speed or durability: everything is in memory, a partition keeps its newest 5 MiB
    or 100,000 batches, CreateTopics is missing, and a topic nobody created gets 4 partitions
    when a client first asks for it. Give consumers the options of :func:`embedded_tuning`.

    ::

        with EmbeddedBroker(topics={"hero.kill.dragon": 3}) as broker:
            client = ClientKafkaProxy({"client": {"brokers": broker.bootstrap_servers}})

    The process ends with :meth:`close`, and also if this process dies.

    :param topics: topics to create at the start, with their numbers of partitions.
    :param brokers: how many brokers the cluster has; their ids count from 1.
    :param port: where the first broker listens, the others on the ports after it; 0, the
        default, finds free ones.
    :raises ConfigurationError: if a number makes no sense.
    """

    def __init__(
        self, topics: Mapping[str, int] | None = None, *, brokers: int = 1, port: int = 0
    ) -> None:
        self._topics = dict(topics or {})
        for topic, partitions in self._topics.items():
            _check_partitions(topic, partitions)
        if brokers < 1:
            raise ConfigurationError(f"brokers must be 1 or more, not {brokers}")
        self._brokers = brokers
        self._port = port
        self._process: BrokerProcess | None = None
        self._bootstrap_servers: list[str] = []

    def start(self) -> EmbeddedBroker:
        """Start the process and wait until the brokers listen. Does nothing if it runs.

        :raises ConfigurationError: if ``confluent-kafka`` is not installed or a port is taken.
        :raises TransportError: if the process does not come up within 30 seconds.
        """
        if self._process is not None:
            return self
        find_librdkafka()
        self._process = BrokerProcess([f"--brokers={self._brokers}", f"--port={self._port}"])
        try:
            self._bootstrap_servers = self._process.read_answer(timeout=_START_TIMEOUT)
            for topic, partitions in self._topics.items():
                self.create_topic(topic, partitions)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the process; its records are lost. Safe to call twice, bounded to seconds."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.close(timeout=_CLOSE_TIMEOUT)

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def bootstrap_servers(self) -> list[str]:
        """The addresses of the brokers, for ``client.brokers``: ``["127.0.0.1:9092"]``.

        :raises NotConnected: before :meth:`start`.
        """
        self._running()
        return list(self._bootstrap_servers)

    @property
    def pid(self) -> int:
        """The id of the broker's process.

        :raises NotConnected: before :meth:`start` and after :meth:`close`.
        """
        return self._running().pid

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Create a topic.

        :raises ConfigurationError: if it exists, or *partitions* is below 1.
        """
        _check_partitions(topic, partitions)
        self._command("create_topic", topic=topic, partitions=partitions)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and its records.

        :raises ConfigurationError: if there is none of that name.
        """
        self._command("delete_topic", topic=topic)

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """Drop the records below *before_offset*, as retention does.

        :raises ConfigurationError: if the partition does not exist or ends earlier.
        """
        self._command(
            "delete_records", topic=topic, partition=partition, before_offset=before_offset
        )

    def push_request_errors(self, api_key: ApiKey, *errors: int) -> None:
        """Answer the next requests of one kind with error codes of Kafka, one each.

        :param errors: codes of the protocol (0 lets a request pass), or
            :data:`~kafka_patterns.testing.DISCONNECT`.
        """
        self._command("push_request_errors", api_key=int(api_key), errors=list(errors))

    def clear_request_errors(self, api_key: ApiKey) -> None:
        """Forget the errors pushed for one kind of request and not used yet."""
        self._command("clear_request_errors", api_key=int(api_key))

    def set_partition_leader(self, topic: str, partition: int, broker_id: int | None) -> None:
        """Make a broker the leader of a partition; ``None`` leaves it without one.

        :raises ConfigurationError: if the partition or the broker does not exist.
        """
        self._command(
            "set_partition_leader",
            topic=topic,
            partition=partition,
            broker_id=_NO_BROKER if broker_id is None else broker_id,
        )

    def set_coordinator(self, group_id: str, broker_id: int) -> None:
        """Make a broker the coordinator of a consumer group.

        :raises ConfigurationError: if the broker does not exist.
        """
        self._command("set_coordinator", group_id=group_id, broker_id=broker_id)

    def set_round_trip_time(self, seconds: float, *, broker_id: int | None = None) -> None:
        """Delay every answer by *seconds*, of one broker or, by default, of all."""
        self._command(
            "set_round_trip_time",
            broker_id=_ALL_BROKERS if broker_id is None else broker_id,
            milliseconds=round(seconds * 1000),
        )

    def set_down(self, broker_id: int = 1) -> None:
        """Close the connections of a broker and refuse new ones; it keeps its records.

        Leaders and coordinators stay where they are.
        """
        self._check_broker(broker_id)
        self._command("set_down", broker_id=broker_id)

    def set_up(self, broker_id: int = 1) -> None:
        """Let a broker that is down accept connections again, at the same address."""
        self._check_broker(broker_id)
        self._command("set_up", broker_id=broker_id)

    def freeze(self) -> None:
        """Stop the process where it is: connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._running().send_signal(signal.SIGCONT)

    def _command(self, command: str, **arguments: Any) -> None:
        self._running().request(command, arguments, timeout=_COMMAND_TIMEOUT)

    def _running(self) -> BrokerProcess:
        if self._process is None:
            raise NotConnected(
                "the embedded broker is not running; use it in a with statement, or call start()"
            )
        return self._process

    def _check_broker(self, broker_id: int) -> None:
        if not 1 <= broker_id <= self._brokers:
            raise ConfigurationError(
                f"there is no broker {broker_id}; the ids are 1 to {self._brokers}"
            )


def _check_partitions(topic: str, partitions: int) -> None:
    if partitions < 1:
        raise ConfigurationError(f"topic {topic!r} needs 1 partition or more, not {partitions}")
