"""librdkafka's mock cluster in this process, as a Python object.

It runs in a C thread of its own, on ports that the kernel picks.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.testing.librdkafka import load_librdkafka

__all__ = ["MockCluster"]

_PRODUCER = 0
_ERROR_TEXT_LENGTH = 512
_LOG_ERRORS_AND_WORSE = b"3"


class MockCluster:
    """A running mock cluster. Broker ids count from 1.

    :param brokers: how many brokers it has.
    :raises ConfigurationError: if librdkafka is missing or refuses.
    """

    def __init__(self, *, brokers: int) -> None:
        self._library = load_librdkafka()
        self._handle = self._new_handle()
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        if not self._cluster:
            raise ConfigurationError(
                f"librdkafka could not start {brokers} mock brokers; see its log above"
            )
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def ports(self) -> list[int]:
        """Where the brokers listen on the loopback address, in the order of their ids."""
        addresses = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        return [int(address.rpartition(":")[2]) for address in addresses.split(",")]

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create *topic*, with one replica per partition."""
        self._check(
            self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1),
            f"create topic {topic!r} with {partitions} partitions",
        )

    def delete_topic(self, topic: str) -> None:
        """Delete *topic* and its records."""
        self._check(
            self._library.rd_kafka_mock_topic_delete(self._cluster, topic.encode()),
            f"delete topic {topic!r}",
        )

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """Drop the records below *before_offset*, as retention does."""
        self._check(
            self._library.rd_kafka_mock_partition_delete_records(
                self._cluster, topic.encode(), partition, before_offset
            ),
            f"delete the records of {topic!r} [{partition}] before offset {before_offset}",
        )

    def push_request_errors(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next requests of one kind with these error codes, one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, api_key, len(errors), codes
        )

    def clear_request_errors(self, api_key: int) -> None:
        """Forget the error codes that were not used yet."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api_key)

    def set_partition_leader(self, topic: str, partition: int, broker_id: int) -> None:
        """Make a broker the leader; -1 leaves the partition without one."""
        self._check(
            self._library.rd_kafka_mock_partition_set_leader(
                self._cluster, topic.encode(), partition, broker_id
            ),
            f"make broker {broker_id} the leader of {topic!r} [{partition}]",
        )

    def set_coordinator(self, group_id: str, broker_id: int) -> None:
        """Make a broker the coordinator of a consumer group."""
        self._check(
            self._library.rd_kafka_mock_coordinator_set(
                self._cluster, b"group", group_id.encode(), broker_id
            ),
            f"make broker {broker_id} the coordinator of group {group_id!r}",
        )

    def set_round_trip_time(self, broker_id: int, milliseconds: int) -> None:
        """Delay every answer of a broker; -1 means all brokers."""
        self._check(
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker_id, milliseconds),
            f"set the round-trip time of broker {broker_id}",
        )

    def advertise(self, broker_id: int, host: str, port: int) -> None:
        """Tell clients to connect to a broker at another address than its own."""
        self._library.rd_kafka_mock_broker_set_host_port(
            self._cluster, broker_id, host.encode(), port
        )

    def close(self) -> None:
        """Stop the brokers and free what they hold."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    def _new_handle(self) -> Any:
        text = ctypes.create_string_buffer(_ERROR_TEXT_LENGTH)
        configuration = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(
            configuration, b"log_level", _LOG_ERRORS_AND_WORSE, text, len(text)
        )
        handle = self._library.rd_kafka_new(_PRODUCER, configuration, text, len(text))
        if not handle:
            raise ConfigurationError(f"librdkafka did not start: {text.value.decode()}")
        return handle

    def _check(self, error: int, action: str) -> None:
        if error:
            reason = self._library.rd_kafka_err2str(error).decode()
            raise ConfigurationError(f"the embedded broker could not {action}: {reason}")
