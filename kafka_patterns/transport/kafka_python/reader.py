"""Reading by assign and seek, on a consumer without a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka import errors as base_errors

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.errors import TransportError
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.rights import READ, missing_right
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.transport.base import OffsetOutOfRange, PartitionsReappeared, Room
from kafka_patterns.transport.kafka_python.authorization import is_forbidden
from kafka_patterns.transport.kafka_python.coordinator import NoCoordinator
from kafka_patterns.transport.kafka_python.fetched import FetchedChunk
from kafka_patterns.transport.kafka_python.fetches import Fetches
from kafka_patterns.transport.kafka_python.metrics import switch_off_metrics
from kafka_patterns.transport.kafka_python.network import InterruptibleClient
from kafka_patterns.transport.kafka_python.pieces import Damage
from kafka_patterns.transport.kafka_python.troubles import Troubles
from kafka_patterns.transport.kafka_python.unpacking import MAX_UNPACKED_BYTES

__all__ = ["KafkaReader"]

_SLICE_RECORDS = 100
_REFUSED_BACKOFF = ExponentialBackoff(0.1, 2.0)
_MOVED_BACKOFF = ExponentialBackoff(0.02, 0.2)
_DAMAGE_READS = 3
"""How often damage is fetched before it is taken for what is in the log."""
_LEADER_MOVED = (
    base_errors.NotLeaderForPartitionError,
    base_errors.UnknownTopicOrPartitionError,
    base_errors.LeaderNotAvailableError,
)


class KafkaReader:
    """A :class:`~kafka_patterns.transport.base.Reader` on ``KafkaConsumer``.

    The poll is our own: the base's looks after a group and after unknown positions, which a
    reader does not have, and both can block it; and it drops what is buffered of a paused
    partition.

    :param max_bytes: how much may lie here fetched and not taken; each partition has an equal
        part, and a single batch may be larger. ``None`` leaves it to the settings.
    :param max_unpacked_bytes: a batch that unpacks to more cannot be read.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        max_bytes: int | None = None,
        watch: Callable[[bool], None] | None = None,
        max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
    ) -> None:
        self._consumer = KafkaConsumer(
            **config,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            kafka_client=partial(InterruptibleClient, watch=watch),
            coordinator=NoCoordinator,
        )
        switch_off_metrics(self._consumer)
        self._client: InterruptibleClient = self._consumer._client
        self._fetcher = self._consumer._fetcher
        self._subscription = self._consumer._subscription
        self._assigned: set[TopicPartition] = set()
        self._chunks: dict[TopicPartition, FetchedChunk] = {}
        self._reached: dict[TopicPartition, int] = {}
        self._max_bytes = max_bytes
        self._max_unpacked_bytes = max_unpacked_bytes
        self._max_chunk_bytes: int = self._fetcher.config["max_partition_fetch_bytes"]
        self._unknown_since: dict[TopicPartition, float] = {}
        self._troubles = Troubles()
        self._damaged: dict[TopicPartition, tuple[int, int]] = {}  # where, and how often fetched
        self._leaderless: set[TopicPartition] = set()
        self._client.cluster.add_listener(self._look_for_leaders)
        self._fetches = Fetches(self._client, self._fetcher, self._subscription)

    def _ask(self) -> bool:
        """Ask for what may be asked for; whether there is a request to write."""
        held_since = {partition: chunk.since for partition, chunk in self._chunks.items()}
        return self._fetches.ask(self._fetchable(), held_since)

    def _fetchable(self) -> set[KafkaTopicPartition]:
        """Without what lies here, until it was taken, and what was refused, for a while."""
        fetchable: set[KafkaTopicPartition] = self._fetcher._fetchable_partitions()
        # All are the same tuples.
        return fetchable.difference(self._chunks, self._troubles.waiting())

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self._assigned.add(partition)
        self._share_bytes()
        self._consumer.assign([KafkaTopicPartition(*tp) for tp in self._assigned])
        self.seek(partition, offset)

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        self._assigned.difference_update(partitions)
        for partition in partitions:
            self._forget(partition)
        self._share_bytes()
        if self._assigned:
            self._consumer.assign([KafkaTopicPartition(*tp) for tp in self._assigned])
        else:
            self._consumer.unsubscribe()

    def _share_bytes(self) -> None:
        """A partition has one chunk here at most, and is not asked for while it has one."""
        if self._max_bytes is not None and self._assigned:
            part = max(1, self._max_bytes // len(self._assigned))
            size = min(part, self._max_chunk_bytes)
            self._fetcher.config["max_partition_fetch_bytes"] = size

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._forget(partition)
        self._subscription.seek(KafkaTopicPartition(*partition), offset)

    def _forget(self, partition: TopicPartition) -> None:
        self._chunks.pop(partition, None)
        self._reached.pop(partition, None)
        self._unknown_since.pop(partition, None)
        self._damaged.pop(partition, None)
        self._leaderless.discard(partition)
        self._troubles.forget(partition)

    def poll(
        self, timeout: float, room: Callable[[TopicPartition], Room]
    ) -> Mapping[TopicPartition, list[Record]]:
        try:
            records = self._take(room)
            if not records:
                self._ask()
                pause = self._troubles.seconds_until_retry(), self._fetches.seconds_until_next()
                self._client.poll(timeout_ms=min(timeout, *pause) * 1000)
                records = self._take(room)
            if records and self._ask():
                self._client.write_requests()  # the broker may wait while these are worked on
            return records
        except base_errors.KafkaError as error:
            raise TransportError(f"reading failed: {type(error).__name__}: {error}") from error

    def _take(self, room: Callable[[TopicPartition], Room]) -> dict[TopicPartition, list[Record]]:
        """A slice of each partition that has records here and room there."""
        self._open_answers()
        taken: dict[TopicPartition, list[Record]] = {}
        for partition, chunk in list(self._chunks.items()):
            max_records, max_bytes = room(partition)
            try:
                records = chunk.take(min(max_records, _SLICE_RECORDS), max_bytes)
            except Exception as error:  # noqa: BLE001  it is this partition's alone
                self._fetch_anew(partition, error)
                continue
            if records:
                taken[partition] = records
                if records[-1].unreadable is not None:
                    self._reached[partition] = chunk.next_offset  # it may stand for many
            if chunk.exhausted:
                self._drop(partition)
        return taken

    def _fetch_anew(self, partition: TopicPartition, error: Exception) -> None:
        """What comes next of *partition* is damaged; it may have been on the way."""
        offset = self._drop(partition)
        where, times = self._damaged.get(partition, (offset, 0))
        self._damaged[partition] = (offset, times + 1 if where == offset else 1)
        reason = str(error) if isinstance(error, Damage) else f"{type(error).__name__}: {error}"
        self._troubles.note(partition, offset, reason, _REFUSED_BACKOFF)

    def _believed_damage(self, partition: TopicPartition) -> int | None:
        """The offset at which damage of *partition* was fetched often enough."""
        where, times = self._damaged.get(partition, (0, 0))
        return where if times + 1 >= _DAMAGE_READS else None

    def _drop(self, partition: TopicPartition) -> int:
        """Forget the chunk of *partition*; the next one is fetched from where it was left."""
        offset = self._chunks.pop(partition).next_offset
        self._subscription.assignment[KafkaTopicPartition(*partition)].position = offset
        self._reached[partition] = offset
        return offset

    def take_reached(self) -> Mapping[TopicPartition, int]:
        reached, self._reached = self._reached, {}
        return reached

    def _open_answers(self) -> None:
        answers = self._fetcher._completed_fetches
        while answers:
            answer = answers.popleft()
            partition = TopicPartition(*answer.topic_partition)
            state = self._subscription.assignment.get(answer.topic_partition)
            if state is None or state.position != answer.fetched_offset:
                continue  # an answer to a question of before a seek
            error_code, highwater, *_, data = answer.partition_data
            if error_code:
                self._on_error(partition, answer.fetched_offset, error_code)
                continue
            if partition in self._unknown_since:
                raise PartitionsReappeared({partition: self._unknown_since.pop(partition)})
            state.highwater = highwater
            if not data or self._keep(partition, state, data):
                self._troubles.over(partition)

    def _keep(self, partition: TopicPartition, state: Any, data: bytes) -> bool:
        """Keep what was fetched of *partition*; whether its beginning can be read."""
        chunk = FetchedChunk(
            partition,
            state.position,
            data,
            check_crcs=self._consumer.config["check_crcs"],
            believed=self._believed_damage(partition),
            max_unpacked_bytes=self._max_unpacked_bytes,
        )
        state.position = chunk.next_offset
        if chunk.exhausted:
            self._reached[partition] = chunk.next_offset
        else:
            self._chunks[partition] = chunk
        return chunk.can_be_taken

    def _on_error(self, partition: TopicPartition, offset: int, error_code: int) -> None:
        error_type = base_errors.for_code(error_code)
        if error_type is base_errors.UnknownTopicOrPartitionError:
            self._unknown_since.setdefault(partition, time.time())
        if error_type is base_errors.OffsetOutOfRangeError:
            raise OffsetOutOfRange({partition: offset})
        self._client.cluster.request_update()
        if is_forbidden(error_code):
            self._note_forbidden(partition, offset)
        else:
            backoff = _MOVED_BACKOFF if error_type in _LEADER_MOVED else _REFUSED_BACKOFF
            reason = f"{error_type.__name__}: {error_type.description}"
            self._troubles.note(partition, offset, reason, backoff)

    def _note_forbidden(self, partition: TopicPartition, offset: int) -> None:
        reason = missing_right(READ, [partition.topic])
        self._troubles.note(partition, offset, reason, _REFUSED_BACKOFF, is_forbidden=True)

    def _look_for_leaders(self, cluster: Any) -> None:
        """What has no leader is not asked for, and so nobody would say why it is stalled."""
        for partition in self._assigned:
            base_partition = KafkaTopicPartition(*partition)
            state = self._subscription.assignment.get(base_partition)
            if state is None or state.position is None:
                continue
            if cluster.leader_for_partition(base_partition) not in (None, -1):
                if partition in self._leaderless:
                    self._leaderless.discard(partition)
                    self._troubles.retry_now(partition)
                continue
            self._leaderless.add(partition)
            if partition.topic in cluster.unauthorized_topics:
                self._note_forbidden(partition, state.position)
            else:
                reason = "the brokers name no leader for it"
                self._troubles.note(partition, state.position, reason, _MOVED_BACKOFF)

    def end_offset(self, partition: TopicPartition) -> int | None:
        state = self._subscription.assignment.get(KafkaTopicPartition(*partition))
        return None if state is None else state.highwater

    def stalled(self) -> Collection[StalledPartition]:
        return self._troubles.stalled()

    def wakeup(self) -> None:
        self._client.wakeup()

    def interrupt(self) -> None:
        self._client.interrupt()

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def unwrap(self) -> KafkaConsumer:
        return self._consumer
