"""Raw records: written and read with kafka-python itself.

Only the end offsets come from this library: kafka-python's own question for them can wait for
ever.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from kafka_patterns.message import TopicPartition as OurTopicPartition
from kafka_patterns.transport.base import LATEST
from kafka_patterns.transport.kafka_python.admin import KafkaAdmin

READ_TIMEOUT = 20.0

CORRELATION_ID = "kafka_correlationId"
REPLY_TOPIC = "kafka_replyTopic"
REPLY_PARTITION = "kafka_replyPartition"
ERROR = "kafka_nest-err"
IS_DISPOSED = "kafka_nest-is-disposed"
DEADLINE = "kafka_patterns-deadline"


class WireRecord(NamedTuple):
    """The bytes of one record, and where it lay."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def header_names(self) -> list[str]:
        """The header names in the order of the record."""
        return [name for name, _ in self.headers]

    def header(self, name: str) -> bytes:
        """The value of the one header called *name*."""
        (value,) = [value for header_name, value in self.headers if header_name == name]
        return value


class Wire:
    """Creates topics, writes requests, and reads whatever stands in a topic.

    For one thread: it holds one consumer, without a group.
    """

    def __init__(self, brokers: Sequence[str]) -> None:
        self._brokers = list(brokers)
        self._admin = KafkaAdmin(
            {"bootstrap_servers": self._brokers, "api_version": (2, 6, 0)},
            probed=lambda _version: None,
        )
        self._producer = KafkaProducer(bootstrap_servers=self._brokers, acks="all", retries=5)
        self._consumer = KafkaConsumer(
            bootstrap_servers=self._brokers, enable_auto_commit=False, fetch_max_wait_ms=50
        )

    def close(self) -> None:
        """Close the producer and the consumer."""
        self._admin.close()
        self._consumer.close()
        self._producer.close(timeout=10)

    def create_topics(self, names: Iterable[str], partitions: int = 1) -> None:
        """Create topics in one go; return when the broker knows all of them."""
        wanted = list(names)
        admin = KafkaAdminClient(bootstrap_servers=self._brokers)
        try:
            admin.create_topics([NewTopic(name, partitions, 1) for name in wanted])
            deadline = time.monotonic() + READ_TIMEOUT
            while any(topic["error_code"] for topic in admin.describe_topics(wanted)):
                assert time.monotonic() < deadline, f"the broker does not show {wanted}"
        finally:
            admin.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of every partition of *topic*."""
        partitions = self._admin.partitions(topic, READ_TIMEOUT)
        assert partitions, f"the broker does not know topic {topic}"
        wanted = {OurTopicPartition(topic, number): LATEST for number in partitions}
        ends = self._admin.offsets(wanted, READ_TIMEOUT)
        assert len(ends) == len(wanted), f"only {ends} is known of {topic}"
        return {partition.partition: offset for partition, offset in ends.items()}

    def read(
        self, topic: str, starts: dict[int, int], enough: Callable[[list[WireRecord]], bool]
    ) -> list[WireRecord]:
        """Read *topic* from the offsets *starts* until *enough* is content."""
        self._consumer.assign([TopicPartition(topic, number) for number in starts])
        for number, offset in starts.items():
            self._consumer.seek(TopicPartition(topic, number), offset)
        records: list[WireRecord] = []
        deadline = time.monotonic() + READ_TIMEOUT
        while not enough(records):
            assert time.monotonic() < deadline, f"{topic} has only {records}"
            for batch in self._consumer.poll(timeout_ms=200).values():
                records += [
                    WireRecord(record.partition, record.key, record.value, record.headers)
                    for record in batch
                ]
        return records

    def written_by(self, topic: str, act: Callable[[], object], count: int = 1) -> list[WireRecord]:
        """Return the *count* records that *act* put into *topic*."""
        starts = self.ends(topic)
        act()
        records = self.read(topic, starts, lambda records: len(records) >= count)
        assert len(records) == count, f"{len(records)} records instead of {count}: {records}"
        return records

    def request(self, topic: str, reply_topic: str, value: bytes) -> list[WireRecord]:
        """Send one request by hand; return its replies, up to the one that ends it."""
        correlation_id = uuid.uuid4().hex.encode()
        starts = self.ends(reply_topic)
        headers = [
            (CORRELATION_ID, correlation_id),
            (REPLY_TOPIC, reply_topic.encode()),
            (REPLY_PARTITION, b"0"),
        ]
        self._producer.send(topic, value=value, headers=headers).get(READ_TIMEOUT)
        mine: list[WireRecord] = []

        def is_ended(records: list[WireRecord]) -> bool:
            mine[:] = [
                record
                for record in records
                if dict(record.headers).get(CORRELATION_ID) == correlation_id
            ]
            return bool(mine) and bool({ERROR, IS_DISPOSED} & set(mine[-1].header_names))

        self.read(reply_topic, starts, is_ended)
        return mine
