"""The numbers of the Kafka protocol that the embedded broker's controls speak of."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["DISCONNECT", "ApiKey"]

DISCONNECT = -195
"""Pushed as a request error, it closes the connection of the client that asks."""


class ApiKey(IntEnum):
    """The requests of the Kafka protocol that errors can be pushed for."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
