"""What the integration tests share: peers on the broker of this run, and raw access to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.integration.peers import Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker, run_backend


@pytest.fixture(scope="session")
def wire(broker: TestBroker) -> Iterator[Wire]:
    """Raw access to the records and committed offsets of the broker."""
    wire = Wire(broker.bootstrap_servers)
    yield wire
    wire.close()


@pytest.fixture
def peers(broker: TestBroker) -> Iterator[Peers]:
    """Makes the clients and servers of one test."""
    peers = Peers(broker)
    yield peers
    peers.close()


@pytest.fixture
def own_broker(broker: TestBroker, kafka_version: str) -> Iterator[TestBroker]:
    """A broker of the same kind as *broker* for one test alone, which may harm it."""
    with run_backend("kafka" if broker.is_real else "embedded", kafka_version) as own:
        yield own


@pytest.fixture
def own_peers(own_broker: TestBroker) -> Iterator[Peers]:
    """Makes the clients and servers of one test on its own broker."""
    peers = Peers(own_broker)
    yield peers
    peers.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Keeps handlers waiting until it is set, which the end of the test does at the latest."""
    gate = threading.Event()
    yield gate
    gate.set()
