"""The membership in a consumer group: a ``KafkaConsumer`` that never fetches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka import OffsetAndMetadata as KafkaOffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from kafka.future import Future as KafkaFuture

from kafka_patterns.errors import CommitFailed, GroupError, NotAuthorized, TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.rights import DESCRIBE, READ, missing_right
from kafka_patterns.transport.base import BrokenOff, Interrupted
from kafka_patterns.transport.group import (
    Assignment,
    AssignmentListener,
    AssignmentPolicy,
    CoordinatorSilent,
)
from kafka_patterns.transport.kafka_python.assignor import PolicyAssignor
from kafka_patterns.transport.kafka_python.authorization import forbidden_topics
from kafka_patterns.transport.kafka_python.coordinator import TolerantCoordinator
from kafka_patterns.transport.kafka_python.errors import is_fatal_for_member
from kafka_patterns.transport.kafka_python.network import InterruptibleClient, await_future
from kafka_patterns.transport.kafka_python.static_member import FencedInstanceIdError

__all__ = ["KafkaMember"]

_RETRY_SECONDS = 0.05
_TOPICS_SECONDS = 1.0


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the base has no types
    def __init__(self, member: KafkaMember, listener: AssignmentListener) -> None:
        self._member = member
        self._listener = listener

    def on_partitions_revoked(self, revoked: Collection[KafkaTopicPartition]) -> None:
        self._listener.on_revoked(membership_lost=self._member.membership_lost)

    def on_partitions_assigned(self, assigned: Collection[KafkaTopicPartition]) -> None:
        # The member reads nothing, even if somebody polls the unwrapped consumer.
        self._member.unwrap().pause(*assigned)
        partitions = frozenset(TopicPartition(*tp) for tp in assigned)
        self._listener.on_assigned(
            Assignment(partitions, self._member.generation, self._member.member_id)
        )


class KafkaMember:
    """A :class:`~kafka_patterns.transport.group.Member` on ``KafkaConsumer``."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group_id: str,
        topics: Collection[str],
        policy: AssignmentPolicy,
        listener: AssignmentListener,
    ) -> None:
        assignor = PolicyAssignor(policy)
        self._group_id = group_id
        self._topics = frozenset(topics)
        self._consumer = KafkaConsumer(
            **config,
            group_id=group_id,
            enable_auto_commit=False,
            partition_assignment_strategy=[assignor],
            coordinator=TolerantCoordinator,
        )
        self._client: InterruptibleClient = self._consumer._client
        self._coordinator: TolerantCoordinator = self._consumer._coordinator
        self._commits: list[tuple[KafkaFuture, Callable[[Exception | None], None]]] = []
        assignor.first_join = lambda: self.membership_lost
        assignor.last_known = self._coordinator.last_known_partitions
        self._topics_awaited = False
        self._session_seconds = self._consumer.config["session_timeout_ms"] / 1000
        self._hung_up = float("-inf")
        # The base refuses to begin with no topic, but not to go on with none.
        first = sorted(topics) or ["none"]
        self._consumer.subscribe(first, listener=_Listener(self, listener))
        if not topics:
            self._consumer._subscription.subscription = set()

    @property
    def membership_lost(self) -> bool:
        """Whether the group threw this member out, or it never was in."""
        return not self._coordinator.has_member_id

    @property
    def generation(self) -> int:
        """The group's generation at the last join."""
        return int(self._coordinator._generation.generation_id)

    @property
    def member_id(self) -> str:
        """The group's name for this member at the last join."""
        return str(self._coordinator._generation.member_id)

    def subscribe(self, topics: Collection[str]) -> None:
        self._topics = frozenset(topics)
        self._topics_awaited = False
        self._consumer._subscription.subscription = set(topics)
        self._consumer._subscription.group_subscribe(topics)
        self._client.set_topics(sorted(topics))

    def refresh_topics(self) -> None:
        self._client.cluster.request_update()

    def poll(self, timeout: float) -> None:
        try:
            if self._coordinator.fenced:
                raise FencedInstanceIdError
            self._coordinator.ensure_coordinator_ready()
            self._await_topics()
            self._coordinator.poll()
            due = min(timeout, self._coordinator.time_to_next_poll())
            self._client.poll(timeout_ms=max(0.0, due) * 1000)
            self._end_silence()
        except KafkaError as error:
            raise self._translated(error) from error
        except BrokenOff:
            self._coordinator.end_broken_join()
            raise
        finally:
            self._tell_answered_commits()

    def _await_topics(self) -> None:
        """Before the first join, learn of the topics: a leader that knows none gives none away."""
        deadline = time.monotonic() + _TOPICS_SECONDS
        while not self._topics_awaited:
            self._topics_awaited = not self.missing_topics() or time.monotonic() >= deadline
            if not self._topics_awaited:
                with self._client.breakable():
                    await_future(self._client, self._client.cluster.request_update(), deadline)

    def _end_silence(self) -> None:
        """Connect anew after a session without an answer; raises until there is one again.

        A connection may be dead without any sign: nobody tells its ends when a firewall forgets it.
        """
        silence = self._coordinator.seconds_of_silence
        if silence <= self._session_seconds:
            return
        now = time.monotonic()
        if now - self._hung_up > self._session_seconds:
            self._hung_up = now
            self._client.hang_up(KafkaConnectionError("the group's coordinator does not answer"))
        self._coordinator.hurry_heartbeat()
        raise CoordinatorSilent(
            f"group {self._group_id!r}: the coordinator has taken no heartbeat for {silence:.1f} s"
        )

    def _translated(self, error: KafkaError) -> TransportError:
        kind = type(error).__name__
        if self._coordinator.fenced:
            return GroupError(
                f"group {self._group_id!r}: another live member uses the same group_instance_id, "
                "which fenced this one. Give each process one of its own, for example by adding "
                "its number among its siblings"
            )
        if not is_fatal_for_member(error):
            return TransportError(f"group {self._group_id!r}: {kind}: {error}")
        if isinstance(error, GroupAuthorizationFailedError):
            why = missing_right(READ, [self._group_id], "group")
            return GroupError(f"group {self._group_id!r} does not accept this member: {why}")
        return GroupError(
            f"group {self._group_id!r} does not accept this member: {kind}: {error}. "
            "Its other members may use another assignment protocol"
        )

    @property
    def rejoin_needed(self) -> bool:
        return bool(self._coordinator.need_rejoin())

    @property
    def seconds_since_contact(self) -> float:
        return self._coordinator.seconds_since_contact

    def commit(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        done: Callable[[Exception | None], None],
    ) -> None:
        future = self._coordinator._send_offset_commit_request(_to_base(offsets))
        self._commits.append((future, done))

    def _tell_answered_commits(self) -> None:
        """Callbacks of the base would run in its heartbeat thread as well, or get lost there."""
        commits, self._commits = self._commits, []
        for future, done in commits:
            if not future.is_done:
                self._commits.append((future, done))
            elif future.succeeded():
                done(None)
            else:
                done(self._failed_commit(future.exception))

    def _failed_commit(self, error: BaseException) -> CommitFailed:
        forbidden = forbidden_topics(error)
        why = missing_right(READ, forbidden) if forbidden else f"{type(error).__name__}: {error}"
        return CommitFailed(f"group {self._group_id!r}: {why}", forbidden=forbidden)

    def commit_now(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout: float
    ) -> None:
        deadline = time.monotonic() + timeout
        future = self._coordinator._send_offset_commit_request(_to_base(offsets))
        if not await_future(self._client, future, deadline):
            raise CommitFailed(
                f"group {self._group_id!r}: no answer to a commit within {timeout:g} s"
            )
        if future.failed():
            raise self._failed_commit(future.exception) from future.exception

    def committed(
        self, partitions: Collection[TopicPartition], timeout: float
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        with self._client.breakable():
            return self._committed(partitions, timeout)

    def _committed(
        self, partitions: Collection[TopicPartition], timeout: float
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        deadline = time.monotonic() + timeout
        base_partitions = [KafkaTopicPartition(*tp) for tp in partitions]
        while True:
            future = self._coordinator._send_offset_fetch_request(base_partitions)
            await_future(self._client, future, deadline)
            if future.succeeded():
                found = future.value
                return {tp: _from_base(found.get(KafkaTopicPartition(*tp))) for tp in partitions}
            if isinstance(future.exception, TopicAuthorizationFailedError):
                topics = {tp.topic for tp in partitions}  # the base does not say which of them
                raise NotAuthorized(missing_right(DESCRIBE, topics)) from future.exception
            if time.monotonic() >= deadline or (future.is_done and not future.retriable()):
                raise TransportError(
                    f"group {self._group_id!r}: its committed offsets could not be read within "
                    f"{timeout:g} s: {future.exception!r}"
                ) from future.exception
            if self._coordinator.coordinator_unknown():
                self._coordinator.lookup_coordinator()
            self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)

    def missing_topics(self) -> Collection[str]:
        cluster = self._client.cluster
        return {topic for topic in self._topics if not cluster.partitions_for_topic(topic)}

    def wakeup(self) -> None:
        self._client.wakeup()

    def break_off_join(self) -> None:
        self._client.break_off()

    def interrupt(self) -> None:
        self._client.interrupt()

    def close(self, timeout: float) -> None:
        self._coordinator.leave(time.monotonic() + timeout)
        try:
            self._consumer.close(autocommit=False)
        except Interrupted:
            self._client.close()

    def unwrap(self) -> KafkaConsumer:
        return self._consumer


def _to_base(
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
) -> dict[KafkaTopicPartition, KafkaOffsetAndMetadata]:
    return {
        KafkaTopicPartition(*tp): KafkaOffsetAndMetadata(offset, metadata)
        for tp, (offset, metadata) in offsets.items()
    }


def _from_base(committed: KafkaOffsetAndMetadata | None) -> OffsetAndMetadata | None:
    if committed is None or committed.offset < 0:
        return None
    return OffsetAndMetadata(committed.offset, committed.metadata or "")
