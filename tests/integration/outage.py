"""A broker for one test alone, that goes away and comes back."""

from __future__ import annotations

from kafka_patterns.testing import EmbeddedBroker
from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer

__all__ = ["bring_back", "take_away"]


def take_away(broker: TestBroker) -> None:
    """Kill the broker: connections break, and new ones are refused. Its records stay."""
    if isinstance(broker.backend, KafkaServer):
        broker.backend.kill()
    else:
        _embedded(broker).set_down()


def bring_back(broker: TestBroker) -> None:
    """Start it again at the same address."""
    if isinstance(broker.backend, KafkaServer):
        broker.backend.start()
    else:
        _embedded(broker).set_up()


def _embedded(broker: TestBroker) -> EmbeddedBroker:
    assert isinstance(broker.backend, EmbeddedBroker)
    return broker.backend
