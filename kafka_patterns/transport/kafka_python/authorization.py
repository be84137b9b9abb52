"""Asking what this user may do with topics, which the base does not know how to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka import errors as base
from kafka.protocol.api import Request, Response
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from kafka_patterns.rights import DESCRIBE, READ, WRITE

__all__ = ["forbidden_topics", "is_forbidden", "read_rights", "rights_request"]

_NUMBERS = {READ: 3, WRITE: 4, DESCRIBE: 8}
_NOT_TOLD = -(2**31)


class _RightsResponse(Response):  # type: ignore[misc]  # the base has no types
    API_KEY = MetadataRequest[1].API_KEY
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _RightsRequest(Request):  # type: ignore[misc]  # the base has no types
    API_KEY = MetadataRequest[1].API_KEY
    API_VERSION = 8
    RESPONSE_TYPE = _RightsResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


def rights_request(topics: Collection[str]) -> Any:
    """Ask for *topics*, with what may be done with them; makes no topic. Since Kafka 2.3."""
    return _RightsRequest(
        topics=list(topics),
        allow_auto_topic_creation=False,
        include_cluster_authorized_operations=False,
        include_topic_authorized_operations=True,
    )


def read_rights(answer: Any) -> Mapping[str, Collection[str] | None]:
    """What may be done with each topic that exists, or that may not even be looked at."""
    found: dict[str, Collection[str] | None] = {}
    for error_code, topic, _, _, operations in answer.topics:
        if is_forbidden(error_code):
            found[topic] = frozenset()
        elif error_code == base.NoError.errno:
            told = operations != _NOT_TOLD
            found[topic] = (
                {name for name, bit in _NUMBERS.items() if operations >> bit & 1} if told else None
            )
    return found


def is_forbidden(error_code: int) -> bool:
    """Whether an answer says that this user may not look at a topic."""
    return base.for_code(error_code) is base.TopicAuthorizationFailedError


def forbidden_topics(error: BaseException | None) -> frozenset[str]:
    """The topics that *error* of the base says to be forbidden; empty for any other error."""
    if not isinstance(error, base.TopicAuthorizationFailedError) or not error.args:
        return frozenset()
    topics = error.args[0]
    return frozenset([topics] if isinstance(topics, str) else topics)
