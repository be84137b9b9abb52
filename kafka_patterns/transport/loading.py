"""Which transport there is, imported only by who is about to connect."""

from __future__ import annotations

from kafka_patterns.options import KafkaOptions
from kafka_patterns.transport.base import Transport

__all__ = ["load_transport"]


def load_transport(options: KafkaOptions, client_id: str) -> Transport:
    """Return the transport of one client or server; nothing is connected yet.

    :param client_id: as it stands on the wire, and in thread names.
    :raises ConfigurationError: if kafka-python-ng is not installed, or not as it should be, or for
        ``native`` settings that it does not know.
    """
    # The base is imported by the first connect, not by importing or constructing.
    from kafka_patterns.transport.kafka_python.transport import KafkaPythonTransport

    return KafkaPythonTransport(options, client_id)
