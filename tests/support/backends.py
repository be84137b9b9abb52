"""The broker that one run of the tests uses: embedded, or Apache Kafka."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Protocol

from kafka_patterns.testing import EmbeddedBroker, embedded_tuning
from tests.support.kafka_server import KafkaServer

__all__ = ["Backend", "TestBroker", "run_backend"]

_NUMBERS = itertools.count(1)


class Backend(Protocol):
    """What both kinds of broker can do."""

    @property
    def bootstrap_servers(self) -> list[str]: ...

    def create_topic(self, topic: str, partitions: int = 1) -> None: ...


class TestBroker:
    """A running broker that the tests of one run share; names keep them apart.

    :param backend: the broker itself, with the controls that only its kind has.
    :param is_real: whether it is Apache Kafka.
    :param consumer_tuning: options for the ``consumer`` section that suit it.
    """

    __test__ = False

    def __init__(self, backend: Backend, *, is_real: bool, consumer_tuning: dict[str, int]) -> None:
        self.backend = backend
        self.is_real = is_real
        self._consumer_tuning = consumer_tuning

    @property
    def bootstrap_servers(self) -> list[str]:
        """The addresses for ``client.brokers``."""
        return self.backend.bootstrap_servers

    @property
    def consumer_tuning(self) -> dict[str, int]:
        """A fresh copy of the options for the ``consumer`` section."""
        return dict(self._consumer_tuning)

    def create_topic(self, topic: str, partitions: int = 1) -> str:
        """Create *topic* and return its name; usable at once."""
        self.backend.create_topic(topic, partitions)
        return topic

    def unique(self, name: str) -> str:
        """Return *name* with an ending that no other test of this run has."""
        return f"{name}.{os.getpid()}-{next(_NUMBERS)}"


@contextlib.contextmanager
def run_backend(kind: str, kafka_version: str) -> Iterator[TestBroker]:
    """Start a broker of *kind* (``embedded`` or ``kafka``) and stop it at the end."""
    if kind == "kafka":
        with KafkaServer(version=kafka_version) as server:
            yield TestBroker(
                server,
                is_real=True,
                consumer_tuning={"session_timeout_ms": 6000, "heartbeat_interval_ms": 500},
            )
    else:
        with EmbeddedBroker() as embedded:
            yield TestBroker(embedded, is_real=False, consumer_tuning=embedded_tuning())
