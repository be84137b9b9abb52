"""Members with a ``group_instance_id``: what the base writes wrongly for them, put right.

Its heartbeats and commits do not carry the instance id where the broker reads it. A member whose
place was taken by another process is then told that it is unknown, joins again, takes the place
back, and so on for ever.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaError
from kafka.future import Future as KafkaFuture
from kafka.protocol.api import Request
from kafka.protocol.commit import OffsetCommitResponse_v3
from kafka.protocol.group import HeartbeatResponse_v2
from kafka.protocol.types import Array, Int32, Int64, Schema, String

__all__ = ["FencedInstanceIdError", "StaticMemberCoordinator"]

_FENCED = 82
_NO_LEADER_EPOCH = -1
_FIRST_VERSION = (2, 3, 0)


class FencedInstanceIdError(KafkaError):  # type: ignore[misc]  # the base has no types
    """Another live member uses the same ``group_instance_id``."""


class _HeartbeatRequest(Request):  # type: ignore[misc]  # the base has no types
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponse_v2  # of the same form
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _OffsetCommitRequest(Request):  # type: ignore[misc]  # the base has no types
    API_KEY = 8
    API_VERSION = 7
    RESPONSE_TYPE = OffsetCommitResponse_v3  # of the same form
    SCHEMA = Schema(
        ("consumer_group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", String("utf-8")),
                    ),
                ),
            ),
        ),
    )


class StaticMemberCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # the base has no types
    """Sends the instance id with every request, and knows the answer that fences."""

    fenced = False
    """Whether another live member took this one's ``group_instance_id``."""

    @property
    def _is_static(self) -> bool:
        return (
            bool(self.config["group_instance_id"]) and self.config["api_version"] >= _FIRST_VERSION
        )

    def _send_heartbeat_request(self) -> KafkaFuture:
        if (
            not self._is_static
            or self.coordinator_unknown()
            or not self._client.ready(self.coordinator_id, metadata_priority=False)
        ):
            return super()._send_heartbeat_request()
        request = _HeartbeatRequest(
            self.group_id,
            self._generation.generation_id,
            self._generation.member_id,
            self.config["group_instance_id"],
        )
        return self._ask_coordinator(request, self._handle_heartbeat_response)

    def _send_offset_commit_request(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> KafkaFuture:
        generation = self.generation()
        if not self._is_static or not offsets or generation is None or self.coordinator() is None:
            return super()._send_offset_commit_request(offsets)
        by_topic: defaultdict[str, list[tuple[int, int, int, str]]] = defaultdict(list)
        for (topic, partition), (offset, metadata) in offsets.items():
            by_topic[topic].append((partition, offset, _NO_LEADER_EPOCH, metadata))
        request = _OffsetCommitRequest(
            self.group_id,
            generation.generation_id,
            generation.member_id,
            self.config["group_instance_id"],
            list(by_topic.items()),
        )
        return self._ask_coordinator(request, self._handle_offset_commit_response, offsets)

    def _ask_coordinator(
        self, request: Request, handle: Callable[..., None], *arguments: Any
    ) -> KafkaFuture:
        future = KafkaFuture()
        sent = self._client.send(self.coordinator_id, request)
        sent.add_callback(handle, *arguments, future, time.time())
        sent.add_errback(self._failed_request, self.coordinator_id, request, future)
        return future

    def _handle_offset_commit_response(
        self, offsets: Any, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        if any(code == _FENCED for _, partitions in response.topics for _, code in partitions):
            self._be_fenced(future)
        else:
            super()._handle_offset_commit_response(offsets, future, send_time, response)

    def _handle_join_group_response(
        self, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        if response.error_code == _FENCED:
            self._be_fenced(future)
        else:
            super()._handle_join_group_response(future, send_time, response)

    def _handle_sync_group_response(
        self, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        if response.error_code == _FENCED:
            self._be_fenced(future)
        else:
            super()._handle_sync_group_response(future, send_time, response)

    def _handle_heartbeat_response(
        self, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        if response.error_code == _FENCED:
            self._be_fenced(future)
        else:
            super()._handle_heartbeat_response(future, send_time, response)

    def _be_fenced(self, future: KafkaFuture) -> None:
        """The base does not know this error, and would try for ever."""
        self.fenced = True
        self.reset_generation()
        future.failure(FencedInstanceIdError())
