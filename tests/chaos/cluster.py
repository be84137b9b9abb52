"""Three brokers, each behind a proxy, and one administrator at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from confluent_kafka import ElectionType, KafkaException
from confluent_kafka.admin import AdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError
from typing_extensions import Self

from tests.support.kafka_node import KafkaNode
from tests.support.kafka_server import KafkaCluster
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import eventually

__all__ = ["ChaosCluster"]

_ADMIN_SECONDS = 90.0
_ANSWER_SECONDS = 5.0
_BACK_SECONDS = 180.0
"""In which a broker is back, on a machine that has much else to do."""
_LOOK_SECONDS = 0.5
_UNDER_TEST = "127.0.0.2"
"""Where the proxies come from, so that the brokers can tell them from the load."""

_PROPERTIES = {
    "min.insync.replicas": "2",
    # A client that asks for a deleted topic must not make it again.
    "auto.create.topics.enable": "false",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    # Controllers elect each other before they know any rule: only a superuser may do that, and
    # everybody else is anonymous.
    "super.users": "User:controller",
    "listener.security.protocol.map": (
        "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
    ),
    "sasl.mechanism.controller.protocol": "PLAIN",
    "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.controller.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="controller" password="secret" user_controller="secret";'
    ),
}


class ChaosCluster:
    """A cluster whose clients under test know it by the addresses of its proxies alone."""

    def __init__(self, version: str) -> None:
        self.kafka = KafkaCluster(
            3, version=version, properties=_PROPERTIES, ready_seconds=_BACK_SECONDS
        )
        self.proxies = {
            f"broker-{node.node_id}": TcpProxy(
                node.proxied_port, port=node.proxy_port, source=_UNDER_TEST
            )
            for node in self.kafka.nodes
        }
        self._open = contextlib.ExitStack()
        # The steps of the nemesis share one administrator's connection.
        self._lock = threading.Lock()
        self._pause = threading.Event()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            opened.enter_context(self.kafka)
            for proxy in self.proxies.values():
                opened.enter_context(proxy)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def proxied_servers(self) -> list[str]:
        """The addresses for those under test."""
        return [proxy.address for proxy in self.proxies.values()]

    @property
    def servers(self) -> list[str]:
        """The addresses for the load and for what looks on."""
        return self.kafka.bootstrap_servers

    def node(self, name: str) -> KafkaNode:
        """The node called ``broker-1``, for example."""
        return self.kafka.nodes[int(name.rpartition("-")[2]) - 1]

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make *topic*, whatever goes on."""
        self._insist(lambda: self.kafka.create_topic(topic, partitions), "exists")

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Let *topic* have so many partitions, whatever goes on."""
        self._insist(lambda: self.kafka.add_partitions(topic, partitions), "already")

    def delete_topic(self, topic: str) -> None:
        """Delete *topic*, whatever goes on."""
        self._insist(lambda: self.kafka.delete_topic(topic), "UnknownTopic")

    def bring_back(self, name: str) -> None:
        """Start a node that is down, and wait until all replicas are up to date."""
        node = self.node(name)
        if not node.is_running:
            node.start()
        admin = AdminClient({"bootstrap.servers": ",".join(self.servers), "log_level": 2})

        def is_back() -> bool:
            self._pause.wait(_LOOK_SECONDS)
            known = admin.list_topics(timeout=_ANSWER_SECONDS)
            return len(known.brokers) == len(self.kafka.nodes) and all(
                len(partition.isrs) == len(partition.replicas)
                for topic in known.topics.values()
                for partition in topic.partitions.values()
            )

        eventually(is_back, _BACK_SECONDS, describe=node.process.report, retry_on=KafkaException)

    def prefer_leaders(self) -> None:
        """Let each partition be led by the first of its replicas."""
        admin = AdminClient({"bootstrap.servers": ",".join(self.servers), "log_level": 2})
        # That all are led as they should be is an error as well.
        with contextlib.suppress(KafkaException):
            admin.elect_leaders(ElectionType.PREFERRED).result(_ADMIN_SECONDS)

    @contextlib.contextmanager
    def forbidden(self, topic: str) -> Iterator[None]:
        """Those under test may not read *topic* meanwhile."""
        denied = _rule(topic, _UNDER_TEST, ACLOperation.READ, ACLPermissionType.DENY)
        # The first rule for a topic would forbid it to all others.
        allowed = _rule(topic, "*", ACLOperation.ALL, ACLPermissionType.ALLOW)
        self._insist(lambda: self._admin().create_acls([allowed, denied]))
        try:
            yield
        finally:
            self._insist(lambda: self._admin().delete_acls([_filter(denied)]))

    def _admin(self) -> Any:
        return self.kafka._connected_admin()

    def _insist(self, action: Callable[[], object], done: str = "exists") -> None:
        """Do it again until it succeeds, or turns out to have succeeded."""

        def attempt() -> bool:
            with self._lock:
                try:
                    action()
                except KafkaError as error:
                    if done.lower() not in repr(error).lower():
                        raise
            return True

        eventually(attempt, _ADMIN_SECONDS, retry_on=(KafkaError, AssertionError))


def _rule(topic: str, host: str, operation: ACLOperation, permission: ACLPermissionType) -> ACL:
    principal = "User:*" if permission is ACLPermissionType.ALLOW else "User:ANONYMOUS"
    return ACL(principal, host, operation, permission, ResourcePattern(ResourceType.TOPIC, topic))


def _filter(rule: ACL) -> ACLFilter:
    pattern = ResourcePatternFilter(
        ResourceType.TOPIC, rule.resource_pattern.resource_name, rule.resource_pattern.pattern_type
    )
    return ACLFilter(rule.principal, rule.host, rule.operation, rule.permission_type, pattern)
