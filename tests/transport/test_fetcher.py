"""The thread that reads, on a real reader: what it loses, gives up and finds again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns.consuming import fetcher as fetcher_module
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.testing import ApiKey
from kafka_patterns.transport.base import Room
from tests.support.waiting import eventually
from tests.transport.error_codes import NOT_LEADER
from tests.transport.parts import ALL, HERO, Parts, produce, values

NONE = Room(0, 0)


class Sink:
    """Keeps what it was given; has room for as much as the test says."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.threads: set[threading.Thread] = set()
        self.rooms: dict[TopicPartition, Room] = {}
        self.restarts: list[tuple[TopicPartition, Any, int]] = []

    def room(self, partition: TopicPartition, token: Any) -> Room:
        return self.rooms.get(partition, ALL)

    def deliver(self, partition: TopicPartition, token: Any, records: list[Record]) -> None:
        self.threads.add(threading.current_thread())
        self.records += records

    def passed(self, partition: TopicPartition, token: Any, offset: int) -> None: ...

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        self.restarts.append((partition, token, offset))
        return token

    def reappeared(self, partition: TopicPartition, token: Any) -> None: ...

    def of(self, partition: TopicPartition) -> list[bytes | None]:
        return values([record for record in self.records if record.topic_partition == partition])


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def start(sink: Sink) -> Iterator[Callable[[Parts], Fetcher]]:
    started: list[Fetcher] = []

    def start_on(parts: Parts) -> Fetcher:
        transport = parts.transport()
        fetcher = Fetcher(transport.reader, sink, parts.admin(), "test-fetcher")
        started.append(fetcher)
        fetcher.start()
        return fetcher

    yield start_on
    for fetcher in started:
        assert fetcher.stop(20)


def numbers(*bounds: int) -> list[bytes]:
    return [b"%d" % number for number in range(*bounds)]


def test_records_come_in_order_in_one_thread(parts, topic, sink, start) -> None:
    partition = TopicPartition(topic(), 0)
    produce(parts.producer(), partition.topic, *numbers(500))

    start(parts).assign(partition, 0)

    eventually(lambda: len(sink.records) == 500)
    assert values(sink.records) == numbers(500)
    assert [thread.name for thread in sink.threads] == ["test-fetcher"]


def test_full_partition_is_held_back_alone_and_loses_nothing(parts, topic, sink, start) -> None:
    name = topic(partitions=2)
    full, other = TopicPartition(name, 0), TopicPartition(name, 1)
    producer = parts.producer()
    produce(producer, name, *numbers(300), partition=0)
    sink.rooms[full] = NONE
    fetcher = start(parts)
    fetcher.assign(full, 0)
    fetcher.assign(other, 0)

    produce(producer, name, *numbers(3), partition=1)
    eventually(lambda: len(sink.of(other)) == 3)
    assert sink.of(full) == []

    del sink.rooms[full]
    fetcher.wake()
    eventually(lambda: len(sink.of(full)) == 300)
    assert sink.of(full) == numbers(300)


def test_wake_ends_a_wait_for_room_at_once(parts, topic, sink, start, monkeypatch) -> None:
    monkeypatch.setattr(fetcher_module, "_POLL_SECONDS", 3600.0)
    partition = TopicPartition(topic(), 0)
    produce(parts.producer(), partition.topic, *numbers(3))
    sink.rooms[partition] = NONE
    fetcher = start(parts)
    fetcher.assign(partition, 0)

    del sink.rooms[partition]
    fetcher.wake()

    eventually(lambda: len(sink.records) == 3)


def test_out_of_range_goes_on_at_the_earliest(own, own_broker, sink, start) -> None:
    own_broker.create_topic("hero", 2)
    kept = TopicPartition("hero", 1)
    producer = own.producer()
    for partition in (0, 1):
        produce(producer, "hero", *numbers(10), partition=partition)
    own_broker.delete_records("hero", 0, before_offset=6)
    fetcher = start(own)

    fetcher.assign(kept, 0)
    fetcher.assign(HERO, 2, token="token")

    eventually(lambda: len(sink.of(HERO)) == 4 and len(sink.of(kept)) == 10)
    assert sink.of(HERO) == numbers(6, 10)
    assert sink.restarts == [(HERO, "token", 6)]


def test_position_behind_the_end_goes_on_at_the_earliest(own, own_broker, sink, start) -> None:
    own_broker.create_topic("hero")
    produce(own.producer(), "hero", *numbers(3))

    start(own).assign(HERO, 1_000)

    eventually(lambda: len(sink.records) == 3)
    assert sink.of(HERO) == numbers(3)


def test_lost_position_waits_for_its_leader(own, own_broker, sink, start) -> None:
    own_broker.create_topic("hero", 2)
    kept = TopicPartition("hero", 1)
    producer = own.producer()
    produce(producer, "hero", *numbers(3))
    fetcher = start(own)
    own_broker.push_request_errors(ApiKey.LIST_OFFSETS, *[NOT_LEADER] * 3)

    fetcher.assign(HERO, 1_000)
    fetcher.assign(kept, 0)
    produce(producer, "hero", b"kept", partition=1)

    eventually(lambda: len(sink.of(HERO)) == 3 and sink.of(kept) == [b"kept"])


def test_reading_goes_on_when_the_broker_is_back(own, own_broker, sink, start) -> None:
    own_broker.create_topic("hero")
    producer = own.producer()
    fetcher = start(own)
    fetcher.assign(HERO, 0)
    produce(producer, "hero", b"before")
    eventually(lambda: len(sink.records) == 1)

    own_broker.set_down()
    own_broker.set_up()
    produce(producer, "hero", b"after")

    eventually(lambda: len(sink.records) == 2)
    assert sink.of(HERO) == [b"before", b"after"]
    assert fetcher.alive


@pytest.mark.parametrize("fault", ["freeze", "set_down"])
def test_stop_is_bounded_when_the_broker_is_gone(own, own_broker, sink, start, fault) -> None:
    own_broker.create_topic("hero")
    fetcher = start(own)
    reading = threading.Event()
    fetcher.assign(HERO, 0, reading=reading.set)
    assert reading.wait(20)

    getattr(own_broker, fault)()

    assert fetcher.stop(10)
    assert not fetcher.alive


def test_readers_of_users_are_handed_out(parts, topic, sink, start) -> None:
    fetcher = start(parts)

    assert fetcher.unwrap().config["group_id"] is None
