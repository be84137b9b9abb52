"""A client's reply partitions with a reader that the test drives."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kafka_patterns.client.pending import PendingRequests, ReplySlot
from kafka_patterns.client.reply_partitions import ReplyPartitions
from kafka_patterns.message import TopicPartition
from kafka_patterns.stalled import StalledPartition

__all__ = ["OTHER", "TOPIC", "Client", "FakeReader", "at"]

TOPIC = "hero.reply"
OTHER = "villain.reply"


def at(number: int, topic: str = TOPIC) -> TopicPartition:
    return TopicPartition(topic, number)


class FakeReader:
    """Reads what it is told once the test lets it: ``begin`` stands for the fetcher's thread."""

    def __init__(self) -> None:
        self.opening: list[tuple[TopicPartition, Callable[[TopicPartition], None]]] = []
        self.reading: set[TopicPartition] = set()
        self.without_end: set[TopicPartition] = set()
        self.opened: list[TopicPartition] = []

    def read_from_end(
        self, partitions: Collection[TopicPartition], reading: Callable[[TopicPartition], None]
    ) -> Collection[TopicPartition]:
        found = [partition for partition in partitions if partition not in self.without_end]
        self.opening += [(partition, reading) for partition in found]
        self.opened += found
        return [partition for partition in partitions if partition in self.without_end]

    def stalled(self) -> list[StalledPartition]:
        return []

    def stop_reading(self, partition: TopicPartition) -> None:
        assert partition in self.reading
        self.reading.discard(partition)

    def begin(self, *wanted: TopicPartition) -> None:
        ready = [entry for entry in self.opening if not wanted or entry[0] in wanted]
        self.opening = [entry for entry in self.opening if entry not in ready]
        for partition, reading in ready:
            self.reading.add(partition)
            reading(partition)


class Client:
    """The parts around the reply partitions, as a connection wires them."""

    def __init__(self, *topics: str) -> None:
        self.reader = FakeReader()
        self.pending = PendingRequests(10_000, self._idle)
        self.partitions = ReplyPartitions(
            self.reader, self.pending, "heroes-client", ["one:9092", "two:9092"]
        )
        for topic in topics or (TOPIC,):
            self.partitions.subscribe(topic)

    def _idle(self, partition: TopicPartition) -> None:
        self.partitions.partition_idle(partition)

    def assign(self, *numbers: int) -> None:
        self.partitions.assign({TOPIC: numbers})

    def request(self, correlation_id: bytes, topic: str = TOPIC) -> TopicPartition:
        return self.partitions.enlist(topic, correlation_id, ReplySlot).partition

    @property
    def named(self) -> int | None:
        return self.partitions.named().get(TOPIC)
