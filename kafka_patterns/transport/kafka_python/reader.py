"""Reading by assign and seek, on a consumer without a group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from kafka_patterns.errors import TransportError
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.transport.base import OffsetOutOfRange
from kafka_patterns.transport.kafka_python.network import InterruptibleClient

__all__ = ["KafkaReader"]


class KafkaReader:
    """A :class:`~kafka_patterns.transport.base.Reader` on ``KafkaConsumer``.

    The poll is our own: the base's looks after a group and after unknown positions, which a
    reader does not have, and both can block it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._consumer = KafkaConsumer(
            **config,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            kafka_client=InterruptibleClient,
        )
        self._client: InterruptibleClient = self._consumer._client
        self._fetcher = self._consumer._fetcher
        self._subscription = self._consumer._subscription
        self._assigned: set[TopicPartition] = set()

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self._assigned.add(partition)
        self._consumer.assign([KafkaTopicPartition(*tp) for tp in self._assigned])
        self.seek(partition, offset)

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        self._assigned.difference_update(partitions)
        if self._assigned:
            self._consumer.assign([KafkaTopicPartition(*tp) for tp in self._assigned])
        else:
            self._consumer.unsubscribe()

    def pause(self, partition: TopicPartition) -> None:
        self._subscription.pause(KafkaTopicPartition(*partition))

    def resume(self, partition: TopicPartition, offset: int) -> None:
        self.seek(partition, offset)
        self._subscription.resume(KafkaTopicPartition(*partition))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._subscription.seek(KafkaTopicPartition(*partition), offset)

    def poll(self, timeout: float, max_records: int) -> Mapping[TopicPartition, list[Record]]:
        try:
            return self._poll(timeout, max_records)
        except KafkaError as error:
            raise TransportError(f"reading failed: {type(error).__name__}: {error}") from error

    def _poll(self, timeout: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        records = self._fetched(max_records)
        if records:
            if self._fetcher.send_fetches():
                self._client.poll(timeout_ms=0)
            return records
        if self._assigned:
            self._fetcher.send_fetches()
        self._client.poll(timeout_ms=timeout * 1000)
        return self._fetched(max_records)

    def _fetched(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        try:
            fetched, _ = self._fetcher.fetched_records(max_records)
        except OffsetOutOfRangeError as error:
            positions = {TopicPartition(*tp): offset for tp, offset in error.args[0].items()}
            raise OffsetOutOfRange(positions) from error
        return {
            TopicPartition(tp.topic, tp.partition): [
                Record(tp.topic, tp.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                for r in records
            ]
            for tp, records in fetched.items()
        }

    def end_offset(self, partition: TopicPartition) -> int | None:
        state = self._subscription.assignment.get(KafkaTopicPartition(*partition))
        return None if state is None else state.highwater

    def wakeup(self) -> None:
        self._client.wakeup()

    def interrupt(self) -> None:
        self._client.interrupt()

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def unwrap(self) -> KafkaConsumer:
        return self._consumer
