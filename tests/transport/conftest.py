"""Fixtures of the transport's contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kafka_patterns.testing import EmbeddedBroker
from tests.support.backends import TestBroker
from tests.transport.parts import Parts

_CLIENT = {"api_version": "2.4.0", "request_timeout_ms": 1_000}
_CONSUMER = {
    "fetch_max_wait_ms": 10,
    "session_timeout_ms": 3_000,
    "heartbeat_interval_ms": 150,
    "max_poll_interval_ms": 10_000,
}


@pytest.fixture
def parts(broker: TestBroker) -> Iterator[Parts]:
    """Parts on the broker that all tests share, which must not be harmed."""
    with Parts(broker.bootstrap_servers, consumer=broker.consumer_tuning) as made:
        made.admin().check_connection(10)
        yield made


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """An embedded broker for this test alone, to be cut off, frozen and made to fail."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def own(own_broker: EmbeddedBroker) -> Iterator[Parts]:
    """Parts on this test's own broker; short timeouts, so that its faults show soon."""
    with Parts(own_broker.bootstrap_servers, client=_CLIENT, consumer=_CONSUMER) as made:
        yield made
        own_broker.thaw()


@pytest.fixture
def hero(own_broker: EmbeddedBroker) -> str:
    """A topic of two partitions on this test's own broker."""
    own_broker.create_topic("hero", 2)
    return "hero"


@pytest.fixture
def two_brokers() -> Iterator[tuple[Parts, EmbeddedBroker]]:
    """Parts on a cluster of two brokers."""
    with (
        EmbeddedBroker(brokers=2) as broker,
        Parts(broker.bootstrap_servers, client=_CLIENT, consumer=_CONSUMER) as made,
    ):
        yield made, broker
