"""What helps to test code that uses this library: a broker without Java or docker."""

from __future__ import annotations

from kafka_patterns.testing.api_keys import DISCONNECT, ApiKey
from kafka_patterns.testing.embedded import EmbeddedBroker, embedded_tuning

__all__ = ["DISCONNECT", "ApiKey", "EmbeddedBroker", "embedded_tuning"]
