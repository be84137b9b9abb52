"""Apache Kafka that lets alice do only what she was allowed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from tests.integration.real.secure_kafka import ALICE, plain_password
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

__all__ = ["GuardedKafka"]

_LISTENER = "SASL_PLAINTEXT"
_PRINCIPAL = f"User:{ALICE['username']}"
_KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.CLUSTER}


class GuardedKafka:
    """A server with two ways in: as alice, and, at ``PLAINTEXT``, as somebody who may do all."""

    def __init__(self, version: str) -> None:
        properties = {
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"
                f"{_LISTENER}:{_LISTENER}"
            ),
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            **plain_password(ALICE["password"]),
        }
        self.server = KafkaServer(version=version, properties=properties, listeners=[_LISTENER])
        self.server.start()
        self._admin = KafkaAdminClient(bootstrap_servers=self.server.bootstrap_servers)

    def close(self) -> None:
        self._admin.close()
        self.server.close()

    @property
    def as_alice(self) -> TestBroker:
        """The broker at her listener; topics are made by somebody who may."""
        return self._broker(self.server.address(_LISTENER))

    @property
    def as_anybody(self) -> TestBroker:
        """The broker where everything is allowed."""
        return self._broker(*self.server.bootstrap_servers)

    def _broker(self, *addresses: str) -> TestBroker:
        return TestBroker(
            _Way(self.server, list(addresses)),
            is_real=True,
            consumer_tuning={"session_timeout_ms": 6000, "heartbeat_interval_ms": 500},
        )

    def allow(self, kind: str, name: str, *operations: str) -> None:
        """Give alice rights, for example ``allow("topic", "hero", "READ")``."""
        self._admin.create_acls([_acl(kind, name, operation) for operation in operations])
        self._await_rights(kind, name, lambda held: held.issuperset(operations))

    def withdraw(self, kind: str, name: str, *operations: str) -> None:
        """Take them away."""
        pattern = ResourcePatternFilter(_KINDS[kind], name, ACLResourcePatternType.LITERAL)
        self._admin.delete_acls(
            [
                ACLFilter(
                    _PRINCIPAL, "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern
                )
                for operation in operations
            ]
        )
        self._await_rights(kind, name, lambda held: held.isdisjoint(operations))

    def _await_rights(self, kind: str, name: str, holds: Callable[[set[str]], bool]) -> None:
        pattern = ResourcePatternFilter(_KINDS[kind], name, ACLResourcePatternType.LITERAL)
        anything: Any = ACLFilter(_PRINCIPAL, "*", ACLOperation.ANY, ACLPermissionType.ANY, pattern)

        def are_there() -> bool:
            acls, _ = self._admin.describe_acls(anything)
            return holds({acl.operation.name for acl in acls})

        eventually(are_there)


class _Way:
    def __init__(self, server: KafkaServer, addresses: list[str]) -> None:
        self._server = server
        self.bootstrap_servers = addresses

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        self._server.create_topic(topic, partitions)


def _acl(kind: str, name: str, operation: str) -> ACL:
    pattern = ResourcePattern(_KINDS[kind], name)
    return ACL(_PRINCIPAL, "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
