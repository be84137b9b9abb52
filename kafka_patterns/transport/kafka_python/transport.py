"""Makes the parts of the transport for one client or server."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import KafkaOptions
from kafka_patterns.transport.group import AssignmentListener, AssignmentPolicy
from kafka_patterns.transport.kafka_python import config as settings
from kafka_patterns.transport.kafka_python.admin import KafkaAdmin
from kafka_patterns.transport.kafka_python.distribution import check_distribution
from kafka_patterns.transport.kafka_python.member import KafkaMember
from kafka_patterns.transport.kafka_python.network import InterruptibleClient
from kafka_patterns.transport.kafka_python.producer import KafkaProducerFace
from kafka_patterns.transport.kafka_python.reader import KafkaReader
from kafka_patterns.transport.kafka_python.refusals import Refusals

__all__ = ["KafkaPythonTransport"]

_Cluster = tuple[frozenset[str], str]
"""Where the brokers are, in any order, and how they are spoken to."""

# Single operations on it are atomic; a lock could be held for ever in a forked child.
_probed_versions: dict[_Cluster, tuple[int, ...]] = {}


class KafkaPythonTransport:
    """A :class:`~kafka_patterns.transport.base.Transport` on kafka-python-ng.

    :param options: the options of the client or server.
    :param client_id: as it stands on the wire, and in thread names.
    """

    def __init__(self, options: KafkaOptions, client_id: str) -> None:
        check_distribution()
        settings.check_native(options)
        self._options = options
        self._client_id = client_id

    def producer(
        self,
        watch: Callable[[bool], None] | None = None,
        may_send: Callable[[], bool] | None = None,
    ) -> KafkaProducerFace:
        refusals = Refusals()
        config = settings.producer_config(self._options, self._client_id)
        config["kafka_client"] = partial(InterruptibleClient, refusals=refusals, watch=watch)
        return KafkaProducerFace(
            self._with_version(config),
            refusals=refusals,
            delivery_timeout=self._options.send.timeout_ms / 1000,
            name=f"kafka-patterns-{self._client_id}",
            may_send=may_send,
        )

    def reader(
        self, max_bytes: int | None = None, watch: Callable[[bool], None] | None = None
    ) -> KafkaReader:
        config = settings.reader_config(self._options, self._client_id)
        most = self._options.consumer.max_unpacked_bytes
        return KafkaReader(self._with_version(config), max_bytes, watch, most)

    def member(
        self,
        group_id: str,
        topics: Collection[str],
        policy: AssignmentPolicy,
        listener: AssignmentListener,
    ) -> KafkaMember:
        config = settings.member_config(self._options, self._client_id)
        timeout_ms = settings.answer_timeout_ms(config, self._options)
        config["kafka_client"] = partial(InterruptibleClient, answer_timeout_ms=timeout_ms)
        return KafkaMember(self._with_version(config), group_id, topics, policy, listener)

    def admin(self) -> KafkaAdmin:
        config = settings.reader_config(self._options, self._client_id)
        cluster = _cluster(config)
        return KafkaAdmin(
            self._with_known_version(config),
            probed=lambda version: _probed_versions.update({cluster: version}),
        )

    def _with_known_version(self, config: dict[str, Any]) -> dict[str, Any]:
        if config["api_version"] is None:
            config["api_version"] = _probed_versions.get(_cluster(config))
        return config

    def _with_version(self, config: dict[str, Any]) -> dict[str, Any]:
        """Probing costs 100 to 300 ms per connection: the admin does it once per process."""
        if self._with_known_version(config)["api_version"] is None:
            raise ConfigurationError("the admin checks the connection before other parts are made")
        return config


def _cluster(config: dict[str, Any]) -> _Cluster:
    return frozenset(config["bootstrap_servers"]), config["security_protocol"]
