"""Instances of a client that join a group and leave it, in a process that runs already."""

from __future__ import annotations

import threading
from typing import Any

from kafka_patterns import ClientKafkaProxy

__all__ = ["join_and_leave"]


def join_and_leave(options: dict[str, Any], pattern: str, times: int, stay: float) -> None:
    """Join the group of *options*, stay in it for so many seconds, and leave it, *times* times."""
    for _ in range(times):
        client = ClientKafkaProxy(options)
        client.subscribe_to_response_of(pattern)
        with client:
            threading.Event().wait(stay)
