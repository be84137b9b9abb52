"""The base's group coordinator, safe against other members."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

from kafka.coordinator.base import HeartbeatThread, MemberState
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from kafka.errors import CommitFailedError, NodeNotReadyError, RebalanceInProgressError
from kafka.future import Future as KafkaFuture

from kafka_patterns.transport.base import Interrupted
from kafka_patterns.transport.kafka_python.leaving import LeavingCoordinator
from kafka_patterns.transport.kafka_python.network import await_future

__all__ = ["NoCoordinator", "TolerantCoordinator"]

_ASSIGNMENT_VERSION = 1
_LOOKUP_SECONDS = 0.1
_NOTIFY_AGAIN_SECONDS = 0.01


class _HeartbeatThread(HeartbeatThread):  # type: ignore[misc]  # the base has no types
    """Ends whenever it is told to, and in silence when the member is broken off on purpose."""

    def run(self) -> None:
        try:
            super().run()
        except Interrupted:
            pass

    def close(self) -> None:
        """End, waiting for one heartbeat interval at most.

        The base notifies once. A thread that looked just before, and waits just after, would
        never end.
        """
        self.closed = True
        deadline = time.monotonic() + self.coordinator.config["heartbeat_interval_ms"] / 1000
        while self.is_alive() and time.monotonic() < deadline:
            with self.coordinator._lock:
                self.coordinator._lock.notify()
            self.join(_NOTIFY_AGAIN_SECONDS)


class NoCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # the base has no types
    """Of a consumer without a group, to which new metadata is nothing.

    The base raises if one topic is forbidden, and whoever is told after it is not.
    """

    def _handle_metadata_update(self, cluster: Any) -> None:
        pass


class TolerantCoordinator(LeavingCoordinator):
    """Takes any assignment a foreign leader may send.

    A leader of another implementation may assign topics this member does not subscribe to,
    which sends the base into a rejoin loop, or nothing at all as zero bytes, which it cannot
    decode. Both are read as what they mean.
    """

    _contact = float("-inf")

    def _handle_metadata_update(self, cluster: Any) -> None:
        """The base raises if one topic is forbidden, and the member would end for all of them."""
        forbidden, cluster.unauthorized_topics = cluster.unauthorized_topics, set()
        try:
            super()._handle_metadata_update(cluster)
        finally:
            cluster.unauthorized_topics = forbidden

    @property
    def seconds_since_contact(self) -> float:
        """Since the latest heartbeat or join that the coordinator has answered was sent.

        When the answer is read says nothing: it may have lain here while the process was frozen,
        and the group gone on without this member.
        """
        if self.state is MemberState.UNJOINED:
            return float("inf")
        return time.monotonic() - self._contact

    @property
    def seconds_of_silence(self) -> float:
        """How long ago it would have had to answer; 0 outside the group, and amid a join."""
        return self.seconds_since_contact if self.state is MemberState.STABLE else 0.0

    def hurry_heartbeat(self) -> None:
        """Let the next heartbeat be due at once, unless the coordinator owes an answer.

        For one that was just found the base would wait for a whole interval.
        """
        with self._client._lock, self._lock:
            known = not self.coordinator_unknown()
            if known and not self._client.in_flight_request_count(self.coordinator_id):
                self.heartbeat.fail_heartbeat()

    def _send_heartbeat_request(self) -> KafkaFuture:
        sent = time.monotonic()
        future = super()._send_heartbeat_request()
        future.add_callback(self._note_contact, sent)
        future.add_errback(self._note_rebalance, sent)
        return future

    def _send_sync_group_request(self, request: Any) -> KafkaFuture:
        sent = time.monotonic()
        future = super()._send_sync_group_request(request)
        future.add_callback(self._note_contact, sent)
        return future

    def _note_contact(self, sent: float, _answer: object) -> None:
        self._contact = max(self._contact, sent)

    def _note_rebalance(self, sent: float, error: object) -> None:
        """The group waits for this member to join again: it still counts as one."""
        if isinstance(error, RebalanceInProgressError):
            self._note_contact(sent, error)

    def ensure_coordinator_ready(self) -> None:
        """Find the coordinator or raise; the base would search for ever, also amid a join.

        :raises kafka.errors.KafkaError: says what kept it from being found just now.
        """
        with self._client._lock, self._lock:
            if not self.coordinator_unknown():
                return
            future = self.lookup_coordinator()
            await_future(self._client, future, time.monotonic() + _LOOKUP_SECONDS)
            if self.coordinator_unknown():
                self._client.poll(timeout_ms=_LOOKUP_SECONDS * 500)
            if self.coordinator_unknown():
                raise future.exception or NodeNotReadyError("the group's coordinator")

    def need_rejoin(self) -> bool:
        """Whether a join is due; one that was begun is, until it succeeded.

        The base forgets one that failed if what made it necessary, changed metadata, is undone:
        a member outside the group, without heartbeats, that never joins again.
        """
        return bool(self.rejoining or super().need_rejoin())

    def _build_metadata_snapshot(self, subscription: Any, cluster: Any) -> dict[str, set[int]]:
        """The partitions of each topic; those last known of a topic that is unknown just now.

        A broker that has just started, or an answer that was overtaken, leaves topics out. The
        base would join again for that, and as the leader give nobody anything.
        """
        known = getattr(self, "_metadata_snapshot", {})
        found = super()._build_metadata_snapshot(subscription, cluster)
        return {topic: parts or known.get(topic, parts) for topic, parts in found.items()}

    def last_known_partitions(self, topic: str) -> set[int]:
        """The partitions that *topic* had when it was seen last."""
        return set(self._metadata_snapshot.get(topic, ()))

    def _on_join_complete(
        self, generation: int, member_id: str, protocol: str, member_assignment_bytes: bytes
    ) -> None:
        wanted = set(self._subscription.subscription)
        assignment: list[tuple[str, list[int]]] = []
        if member_assignment_bytes:
            decoded = ConsumerProtocolMemberAssignment.decode(member_assignment_bytes)
            assignment = [(topic, parts) for topic, parts in decoded.assignment if topic in wanted]
        # The base's structures encode only while something refers to them.
        readable = ConsumerProtocolMemberAssignment(_ASSIGNMENT_VERSION, assignment, b"")
        encoded = readable.encode()
        super()._on_join_complete(generation, member_id, protocol, encoded)

    def _handle_offset_commit_response(
        self, offsets: Any, future: KafkaFuture, send_time: float, response: Any
    ) -> None:
        """A commit that meets a rebalance fails alone.

        The base would give up the membership for it, and with it all that is kept across the
        rebalance.
        """
        codes = {code for _, partitions in response.topics for _, code in partitions}
        if RebalanceInProgressError.errno in codes:
            self.request_rejoin()
            future.failure(CommitFailedError())
        else:
            super()._handle_offset_commit_response(offsets, future, send_time, response)

    def _perform_assignment(
        self, leader_id: str, assignment_strategy: str, members: Sequence[Sequence[Any]]
    ) -> dict[str, Any]:
        readable = [(*member[:-1], _readable(member[-1])) for member in members]
        assigned: dict[str, Any] = super()._perform_assignment(
            leader_id, assignment_strategy, readable
        )
        return assigned

    def _start_heartbeat_thread(self) -> None:
        if self._heartbeat_thread is None:
            # A proxy, so that a coordinator nobody closed can still be collected.
            thread = _HeartbeatThread(weakref.proxy(self))
            thread.daemon = True
            thread.start()
            self._heartbeat_thread: _HeartbeatThread | None = thread

    def maybe_leave_group(self) -> None:
        """Give up the membership; from the heartbeat thread without asking the broker.

        There the base would take the network lock while it holds the group's, the other way
        round than a poll does: after a long freeze of the process both would wait for ever.
        """
        if threading.current_thread() is self._heartbeat_thread:
            self.reset_generation()
        else:
            super().maybe_leave_group()


def _readable(metadata: bytes) -> bytes:
    """What a member said, or an empty subscription if nobody could read it."""
    try:
        ConsumerProtocolMemberMetadata.decode(metadata)
    except Exception:  # noqa: BLE001  junk makes the decoder raise anything
        empty = ConsumerProtocolMemberMetadata(_ASSIGNMENT_VERSION, [], b"")
        return bytes(empty.encode())
    return metadata
