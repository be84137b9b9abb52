"""Making topics: the requests, and what the answers mean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import errors as base
from kafka.protocol.admin import CreatePartitionsRequest, CreateTopicsRequest
from kafka.protocol.api import Request, Response

from kafka_patterns.errors import TransportError

__all__ = ["add_partitions_request", "check_answer", "create_topic_request", "is_offered"]

_DEFAULT_REPLICATION = -1


class _CreateTopicsResponse(Response):  # type: ignore[misc]  # the base has no types
    API_KEY = CreateTopicsRequest[3].API_KEY
    API_VERSION = 4
    SCHEMA = CreateTopicsRequest[3].RESPONSE_TYPE.SCHEMA


class _CreateTopicsRequest(Request):  # type: ignore[misc]  # the base has no types
    """Version 4 looks like 3, and leaves the replication to the broker if it is told so."""

    API_KEY = CreateTopicsRequest[3].API_KEY
    API_VERSION = 4
    RESPONSE_TYPE = _CreateTopicsResponse
    SCHEMA = CreateTopicsRequest[3].SCHEMA


_CreatePartitionsRequest = CreatePartitionsRequest[1]


def is_offered(request: Any, versions: Collection[tuple[int, int, int]]) -> bool:
    """Whether a broker that told those *versions* takes *request*."""
    return any(
        key == request.API_KEY and lowest <= request.API_VERSION <= highest
        for key, lowest, highest in versions
    )


def create_topic_request(
    topic: str, partitions: int, replication_factor: int | None, timeout: float
) -> Any:
    """Create *topic*; by default with the broker's own replication factor."""
    replication = _DEFAULT_REPLICATION if replication_factor is None else replication_factor
    wanted: list[Any] = [(topic, partitions, replication, [], [])]
    return _CreateTopicsRequest(
        create_topic_requests=wanted, timeout=int(timeout * 1000), validate_only=False
    )


def add_partitions_request(topic: str, partitions: int, timeout: float) -> Any:
    """Let *topic* have so many partitions."""
    wanted = [(topic, (partitions, None))]
    return _CreatePartitionsRequest(
        topic_partitions=wanted, timeout=int(timeout * 1000), validate_only=False
    )


def check_answer(topic: str, answer: Any) -> bool:
    """Whether it was done; ``False`` if another broker is to be asked.

    :raises TransportError: if it was refused.
    """
    ((_, code, text),) = answer.topic_errors
    error = base.for_code(code)
    if error in (base.NoError, base.TopicAlreadyExistsError):
        return True
    if error is base.NotControllerError:
        return False
    raise TransportError(
        f"the broker does not make the topic {topic!r} or its partitions: {error.__name__}: "
        f"{text or error.description}"
    )
