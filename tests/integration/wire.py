"""Raw records and committed offsets, through kafka-python itself: nothing of this library."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.protocol.produce import ProduceRequest
from kafka.structs import OffsetAndMetadata

from tests.support.waiting import eventually

__all__ = ["CORRELATION_ID", "DEADLINE", "ERROR", "IS_DISPOSED", "REPLY_PARTITION", "REPLY_TOPIC"]
__all__ += ["SEQUENCE", "Wire", "WireRecord"]

CORRELATION_ID = "kafka_correlationId"
REPLY_TOPIC = "kafka_replyTopic"
REPLY_PARTITION = "kafka_replyPartition"
ERROR = "kafka_nest-err"
IS_DISPOSED = "kafka_nest-is-disposed"
DEADLINE = "kafka_patterns-deadline"
SEQUENCE = "kafka_patterns-sequence"

_TIMEOUT = 20.0
# Both brokers speak it; asking each connection for the version would cost a tenth of a second.
_API_VERSION = (2, 4, 0)

Headers = Sequence[tuple[str, bytes]]


class WireRecord(NamedTuple):
    """One record as it lies in the log."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    def header(self, name: str) -> bytes:
        """The value of the one header called *name*."""
        (value,) = [value for header_name, value in self.headers if header_name == name]
        return value

    @property
    def header_names(self) -> list[str]:
        """The header names in their order."""
        return [name for name, _ in self.headers]


class Wire:
    """Writes and reads records; for one thread."""

    def __init__(self, brokers: Sequence[str]) -> None:
        self._settings: dict[str, Any] = {
            "bootstrap_servers": list(brokers),
            "api_version": _API_VERSION,
            "retry_backoff_ms": 10,
        }
        self._producer = KafkaProducer(**self._settings, acks="all", retries=1_000)
        self._consumer = KafkaConsumer(
            **self._settings, enable_auto_commit=False, fetch_max_wait_ms=10
        )
        self._correlation_ids = itertools.count(1)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._producer.close(timeout=10)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = 0,
    ) -> int:
        """Write a record; returns its offset."""
        sent = self._producer.send(
            topic, value=value, key=key, headers=list(headers), partition=partition
        )
        return int(sent.get(_TIMEOUT).offset)

    def store(self, topic: str, batch: bytes, partition: int = 0) -> None:
        """Put a batch into the log as it is."""
        self._partitions(topic)
        client = self._consumer._client
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        eventually(lambda: client.poll(timeout_ms=20) is not None and client.ready(leader))
        request = ProduceRequest[7](None, -1, 5_000, [(topic, [(partition, batch)])])
        answer = client.send(leader, request)
        client.poll(future=answer)
        ((_, ((_, error_code, *_),)),) = answer.value.topics
        assert error_code == 0

    def request(
        self, topic: str, value: bytes | None, *, key: bytes | None = b"key", headers: Headers = ()
    ) -> list[WireRecord]:
        """Send a request by hand; returns its replies, up to the one that ends it."""
        correlation_id = b"wire-%d" % next(self._correlation_ids)
        reply_topic = f"{topic}.reply"
        address = [(CORRELATION_ID, correlation_id), (REPLY_TOPIC, reply_topic.encode())]
        address += [(REPLY_PARTITION, b"0"), *headers]
        self.produce(topic, value, key=key, headers=address)
        replies: list[WireRecord] = []

        def has_ended() -> bool:
            replies[:] = [
                record
                for record in self.records(reply_topic)
                if (CORRELATION_ID, correlation_id) in record.headers
            ]
            return bool(replies) and bool({ERROR, IS_DISPOSED} & set(replies[-1].header_names))

        eventually(has_ended, _TIMEOUT, describe=f"the last reply to a request on {topic}")
        return replies

    def records(self, topic: str) -> list[WireRecord]:
        """All records of *topic*, by partition and offset."""
        ends = self._consumer.end_offsets(self._partitions(topic))
        found: list[WireRecord] = []
        for partition, end in sorted(ends.items()):
            self._consumer.assign([partition])
            (first,) = self._consumer.beginning_offsets([partition]).values()
            self._consumer.seek(partition, first)
            while self._consumer.position(partition) < end:
                polled = self._consumer.poll(1000).get(partition, ())
                found.extend(_wire_record(record) for record in polled)
        return found

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        ends = self._consumer.end_offsets(self._partitions(topic))
        return {partition.partition: offset for partition, offset in ends.items()}

    def committed(self, group_id: str, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition that has one."""
        found = {p: entry.offset for p, entry in self.committed_entries(group_id, topic).items()}
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def committed_entries(self, group_id: str, topic: str) -> Mapping[int, OffsetAndMetadata]:
        """The group's committed offset of each partition, with the text kept beside it."""
        with self._in_group(group_id) as consumer:
            entries = {
                partition.partition: consumer.committed(partition, metadata=True)
                for partition in self._partitions(topic)
            }
        return {number: entry for number, entry in entries.items() if entry is not None}

    def commit(self, group_id: str, topic: str, offset: int, partition: int = 0) -> None:
        """Commit an offset of a group that has no members."""
        with self._in_group(group_id) as consumer:
            consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, "")})

    @contextlib.contextmanager
    def _in_group(self, group_id: str) -> Iterator[Any]:
        consumer = KafkaConsumer(**self._settings, group_id=group_id, enable_auto_commit=False)
        with contextlib.closing(consumer):
            yield consumer

    def _partitions(self, topic: str) -> list[TopicPartition]:
        known = eventually(
            lambda: self._consumer.partitions_for_topic(topic),
            _TIMEOUT,
            describe=f"the partitions of {topic}",
        )
        return [TopicPartition(topic, number) for number in sorted(known)]


def _wire_record(record: Any) -> WireRecord:
    return WireRecord(
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
    )
