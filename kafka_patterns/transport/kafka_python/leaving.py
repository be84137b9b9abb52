"""Leaving a group in good order, also from the middle of a join.

A broker keeps a member whose join is under way, whatever becomes of its connection: the others get
an assignment that counts on it, and wait for it for a session. So a member needs to have a name
before it waits, which the base does not ask for, and says goodbye by it on another connection: on
the one that joins, nothing is answered before the join.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from kafka.coordinator.base import MemberState
from kafka.errors import KafkaConnectionError, KafkaError, UnknownMemberIdError
from kafka.future import Future as KafkaFuture
from kafka.protocol.api import Request
from kafka.protocol.group import JoinGroupRequest, JoinGroupResponse_v2, LeaveGroupRequest

from kafka_patterns.transport.base import Interrupted
from kafka_patterns.transport.kafka_python.network import await_future
from kafka_patterns.transport.kafka_python.static_member import StaticMemberCoordinator

__all__ = ["LeavingCoordinator"]

logger = logging.getLogger("kafka_patterns.transport")

_NO_ERROR = 0
_MEMBER_ID_REQUIRED = 79
_FIRST_VERSION = (2, 2, 0)
_CONNECT_SECONDS = 1.0
_RETRY_SECONDS = 0.02


class _JoinGroupRequest(Request):  # type: ignore[misc]  # the base has no types
    """The first version whose answer names a new member before it waits for the others."""

    API_KEY = 11
    API_VERSION = 4
    RESPONSE_TYPE = JoinGroupResponse_v2  # of the same form
    SCHEMA = JoinGroupRequest[2].SCHEMA


class LeavingCoordinator(StaticMemberCoordinator):
    """Can break off a join, and leaves the group by the name that it has there."""

    join_future: KafkaFuture | None
    _granted_id = ""  # the name of a member that is new to the group, until it has joined
    _joining_from: Any = None  # the generation it had when it began to join
    _broke_off = False

    @property
    def _known_id(self) -> str:
        """By which name the group may know this member; empty for none."""
        return self._generation.member_id or self._granted_id

    def _send_join_group_request(self) -> KafkaFuture:
        self._joining_from = self._generation
        if (
            self.config["group_instance_id"]
            or self.config["api_version"] < _FIRST_VERSION
            or self.coordinator_unknown()
            or not self._client.ready(self.coordinator_id, metadata_priority=False)
        ):
            return super()._send_join_group_request()
        protocols = [
            (name, metadata if isinstance(metadata, bytes) else metadata.encode())
            for name, metadata in self.group_protocols()
        ]
        request = _JoinGroupRequest(
            self.group_id,
            self.config["session_timeout_ms"],
            self.config["max_poll_interval_ms"],
            self._known_id,
            self.protocol_type(),
            protocols,
        )
        logger.info("joining group %s", self.group_id)  # in place of the base's line
        return self._ask_coordinator(request, self._handle_join_group_response)

    def _handle_join_group_response(
        self, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        if response.error_code == _MEMBER_ID_REQUIRED:
            self._granted_id = response.member_id
            future.failure(UnknownMemberIdError())  # the base joins again at once
            return
        if response.error_code in (_NO_ERROR, UnknownMemberIdError.errno):
            self._granted_id = ""
        super()._handle_join_group_response(future, send_time, response)

    def ensure_active_group(self) -> None:
        with self._client.breakable():
            super().ensure_active_group()

    def end_broken_join(self) -> None:
        """After a wait for the group was broken off: be what this member was before it.

        As long as the group waits for the others, it takes commits of the generation before.
        """
        with self._client._lock, self._lock:
            self._broke_off = True
            was_joining = self.join_future is not None
            self.join_future = None
            self._client.hang_up(KafkaConnectionError("the join was broken off"))
            if was_joining and self.has_member_id and self._generation is self._joining_from:
                self.state = MemberState.STABLE
                self._connect_again(time.monotonic() + _CONNECT_SECONDS)

    @property
    def has_member_id(self) -> bool:
        """Whether this member was in the group before and was not thrown out since."""
        return bool(self._generation.member_id)

    def _connect_again(self, deadline: float) -> None:
        """To the coordinator, until the monotonic *deadline* at most."""
        while time.monotonic() < deadline:
            try:
                self.ensure_coordinator_ready()
            except KafkaError:
                pass
            else:
                if self._client.ready(self.coordinator_id, metadata_priority=False):
                    return
            self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)

    def leave(self, deadline: float) -> None:
        """Say goodbye, waiting for the answer until the monotonic *deadline* at most."""
        self._close_heartbeat_thread()
        try:
            with self._client._lock, self._lock:
                if self._known_id and self._leave_group_on_close():
                    self._send_leave(deadline)
                self.reset_generation()
        except Interrupted:
            self.reset_generation()

    def _send_leave(self, deadline: float) -> None:
        if self._broke_off:
            self._connect_again(deadline)
        if self.coordinator_unknown():
            return
        request: Any
        if self.config["group_instance_id"]:
            members = [(self._known_id, self.config["group_instance_id"])]
            request = LeaveGroupRequest[3](self.group_id, members)
        else:
            request = LeaveGroupRequest[1](self.group_id, self._known_id)
        await_future(self._client, self._client.send(self.coordinator_id, request), deadline)
