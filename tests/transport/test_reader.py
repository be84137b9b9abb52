"""Reading by assign and seek, past the traps of the base's consumer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kafka.protocol.produce import ProduceRequest

from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.testing import ApiKey
from kafka_patterns.transport.base import Interrupted, OffsetOutOfRange, Room
from kafka_patterns.transport.kafka_python.fetched import FetchedChunk
from tests.support.waiting import eventually
from tests.transport.batches import UNKNOWN_CODEC, batch
from tests.transport.error_codes import TOPIC_NOT_AUTHORIZED
from tests.transport.parts import ALL, all_room, produce, read, values

NONE = Room(0, 0)


def store(producer, partition: TopicPartition, data: bytes) -> None:
    """Put a batch into the log as it is."""
    client = producer.unwrap()._sender._client
    topics = [(partition.topic, [(partition.partition, data)])]
    answer = client.send(1, ProduceRequest[7](None, -1, 5_000, topics), wakeup=True)
    eventually(lambda: answer.is_done)
    assert answer.succeeded()


def numbers(*bounds: int) -> list[bytes]:
    return [b"%d" % number for number in range(*bounds)]


class TestRoom:
    def test_pause_poll_resume_loses_no_record(self, parts, topic) -> None:
        name = topic(partitions=2)
        slow, quick = TopicPartition(name, 0), TopicPartition(name, 1)
        producer = parts.producer()
        produce(producer, name, *numbers(250), partition=0)
        reader = parts.reader({slow: 0, quick: 0})
        first = read(reader, 10, lambda _: Room(10, 10**9))
        seen = [record for record in first if record.partition == 0]

        for round_number in range(5):
            produce(producer, name, b"quick", partition=1)
            (record,) = read(reader, 1, lambda p: ALL if p == quick else NONE)
            assert record.offset == round_number
        seen += read(reader, 250 - len(seen))

        assert values(seen) == numbers(250)

    def test_partition_without_room_is_not_fetched_again(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, *numbers(50))
        reader = parts.reader({partition: 0})
        read(reader, 1, lambda _: Room(1, 10**9))

        for _ in range(5):
            assert reader.poll(0.01, lambda _: NONE) == {}

        assert partition not in reader._fetchable()
        assert values(read(reader, 49)) == numbers(1, 50)

    @pytest.mark.real_kafka
    def test_no_more_lies_there_than_allowed_whatever_was_not_taken(self, parts, topic) -> None:
        name = topic(partitions=4)
        partitions = [TopicPartition(name, number) for number in range(4)]
        producer = parts.producer(producer={"batch_size": 5_000})
        for partition in partitions:
            produce(producer, name, *[b"x" * 1_000] * 100, partition=partition.partition)
        bound = 80_000
        reader = parts.reader(dict.fromkeys(partitions, 0), max_bytes=bound)
        for _ in range(40):
            assert reader.poll(0.05, lambda _: NONE) == {}

        # A slice is larger than a chunk: one poll returns all that lies there.
        lying_there = reader.poll(0, all_room)

        assert set(lying_there) == set(partitions)
        size = sum(record.size for records in lying_there.values() for record in records)
        assert bound // 2 < size <= bound
        read(reader, 400 - sum(map(len, lying_there.values())))

    @pytest.mark.real_kafka
    def test_record_larger_than_the_bound_passes(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, b"small", b"x" * 50_000, b"small")

        records = read(parts.reader({partition: 0}, max_bytes=1_000), 3)

        assert [record.size for record in records] == [5, 50_000, 5]

    def test_no_more_is_returned_than_there_is_room_for(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, *[b"0123456789"] * 20)
        reader = parts.reader({partition: 0})
        rooms = [Room(3, 10**9), Room(100, 25), Room(100, 1)]

        counts = []
        for room in rooms:
            sizes = dict.fromkeys([partition], room)
            counts.append(len(read(reader, 1, sizes.__getitem__)))

        # Fewer if a fetch ended with a batch of fewer.
        assert all(1 <= count <= most for count, most in zip(counts, [3, 3, 1], strict=True))


class TestPosition:
    def test_reading_begins_where_it_was_told(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, *numbers(10))

        assert values(read(parts.reader({partition: 7}), 3)) == numbers(7, 10)

    def test_seek_goes_back_and_forth(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, *numbers(10))
        reader = parts.reader({partition: 0})
        read(reader, 1, lambda _: Room(1, 10**9))

        reader.seek(partition, 8)
        assert values(read(reader, 2)) == numbers(8, 10)
        reader.seek(partition, 2)
        assert values(read(reader, 8)) == numbers(2, 10)

    def test_assigning_another_partition_loses_nothing_of_the_first(self, parts, topic) -> None:
        name = topic(partitions=2)
        producer = parts.producer()
        for partition in (0, 1):
            produce(producer, name, *numbers(20), partition=partition)
        reader = parts.reader({TopicPartition(name, 0): 0})
        seen = read(reader, 5, lambda _: Room(5, 10**9))

        reader.assign(TopicPartition(name, 1), 0)
        seen += read(reader, 35)

        for partition in (0, 1):
            assert values([r for r in seen if r.partition == partition]) == numbers(20)

    def test_unassigned_partition_is_read_no_longer(self, parts, topic) -> None:
        name = topic(partitions=2)
        gone, kept = TopicPartition(name, 0), TopicPartition(name, 1)
        producer = parts.producer()
        produce(producer, name, *numbers(20), partition=0)
        reader = parts.reader({gone: 0, kept: 0})
        read(reader, 1, lambda _: Room(1, 10**9))

        reader.unassign([gone])
        produce(producer, name, b"kept", partition=1)

        assert values(read(reader, 1)) == [b"kept"]

    def test_nothing_assigned_is_nothing_read(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        reader = parts.reader({partition: 0})
        reader.unassign([partition])

        assert reader.poll(0.01, all_room) == {}

    def test_end_of_the_log_is_known_after_a_fetch(self, parts, topic) -> None:
        partition = TopicPartition(topic(), 0)
        produce(parts.producer(), partition.topic, *numbers(3))
        reader = parts.reader({partition: 0})
        read(reader, 3)

        assert reader.end_offset(partition) == 3
        assert reader.end_offset(TopicPartition(partition.topic, 9)) is None

    @pytest.mark.parametrize("offset", [0, 99], ids=["below", "above"])
    def test_position_outside_of_the_log_is_told(self, own, own_broker, offset) -> None:
        own_broker.create_topic("hero", 2)
        lost, kept = TopicPartition("hero", 0), TopicPartition("hero", 1)
        producer = own.producer()
        for partition in (0, 1):
            produce(producer, "hero", *numbers(10), partition=partition)
        own_broker.delete_records("hero", 0, before_offset=5)
        reader = own.reader({lost: offset, kept: 0})

        seen: list[bytes | None] = []

        def told() -> OffsetOutOfRange | None:
            try:
                for records in reader.poll(0.05, all_room).values():
                    seen.extend(values(records))
            except OffsetOutOfRange as error:
                return error
            return None

        error = eventually(told)
        assert error is not None
        assert error.positions == {lost: offset}
        reader.unassign([lost])
        seen += values(read(reader, 10 - len(seen)) if len(seen) < 10 else [])
        assert seen == numbers(10)


class TestPoison:
    def test_records_that_cannot_be_read_take_no_others_with_them(self, own, own_broker) -> None:
        own_broker.create_topic("hero", 2)
        poisoned, sound = TopicPartition("hero", 0), TopicPartition("hero", 1)
        producer = own.producer()
        produce(producer, "hero", *numbers(5), partition=0)
        store(producer, poisoned, batch([0], attributes=UNKNOWN_CODEC))
        produce(producer, "hero", *numbers(5), partition=0)
        produce(producer, "hero", *numbers(5), partition=1)

        seen = read(own.reader({poisoned: 0, sound: 0}), 16)

        at_poison = [record for record in seen if record.partition == 0]
        assert [record.offset for record in at_poison] == list(range(11))
        reasons = {r.offset: r.unreadable.reason for r in at_poison if r.unreadable}
        assert reasons.keys() == {5}
        assert "UnsupportedCodecError" in reasons[5]
        assert values([r for r in seen if r.partition == 1]) == numbers(5)

    def test_what_follows_a_batch_that_cannot_be_read_is_known_at_once(
        self, own, own_broker
    ) -> None:
        """Else a commit could point into the middle of it, and it would come again."""
        own_broker.create_topic("hero")
        partition = TopicPartition("hero", 0)
        producer = own.producer()
        produce(producer, "hero", b"before it")
        store(producer, partition, batch([0, 1, 2], attributes=UNKNOWN_CODEC))
        produce(producer, "hero", b"behind it")
        reader = own.reader({partition: 1})

        (poison,) = read(reader, 1, lambda _: Room(1, 10**9))

        assert poison.offset == 1
        assert reader.take_reached() == {partition: 4}
        assert values(read(reader, 1)) == [b"behind it"]


class Garbled:
    """In place of ``FetchedChunk``: what lies at some offset comes damaged, for so many fetches."""

    def __init__(self, offset: int, times: int) -> None:
        self._offset = offset
        self.times = times

    def __call__(self, partition: TopicPartition, position: int, data: bytes, **more) -> Any:
        at = data.find(b"damaged")
        if self.times and partition.partition == 0 and at >= 0:
            self.times -= 1
            data = data[:at] + b"D" + data[at + 1 :]
        return FetchedChunk(partition, position, data, **more)


class TestDamage:
    def damage(self, monkeypatch, own, own_broker, *, times: int) -> Garbled:
        own_broker.create_topic("hero", 2)
        for payload in (b"0", b"damaged", b"2"):
            produce(own.producer(), "hero", payload)
        produce(own.producer(), "hero", *numbers(5), partition=1)
        garbled = Garbled(1, times)
        monkeypatch.setattr("kafka_patterns.transport.kafka_python.reader.FetchedChunk", garbled)
        return garbled

    def test_damage_that_the_next_fetch_has_not_is_no_poison(
        self, own, own_broker, monkeypatch
    ) -> None:
        garbled = self.damage(monkeypatch, own, own_broker, times=2)

        reader = own.reader({TopicPartition("hero", 0): 0})
        seen = read(reader, 3)

        assert garbled.times == 0
        assert values(seen) == [b"0", b"damaged", b"2"]
        assert not any(record.unreadable for record in seen)
        assert reader.stalled() == ()

    def test_damage_that_stays_is_poison_and_stands_meanwhile(
        self, own, own_broker, monkeypatch
    ) -> None:
        self.damage(monkeypatch, own, own_broker, times=10**6)
        reader = own.reader({TopicPartition("hero", 0): 0, TopicPartition("hero", 1): 0})
        before = time.time()

        seen: list[Record] = []
        all_stalled: list[StalledPartition] = []

        def poll() -> bool:
            for records in reader.poll(0.05, all_room).values():
                seen.extend(records)
            all_stalled.extend(reader.stalled())
            return len(seen) == 8

        eventually(poll)
        stalled = all_stalled[0]

        assert (stalled.partition, stalled.offset) == (0, 1)
        assert before <= stalled.since <= time.time()
        assert "checksum" in stalled.reason
        poisoned = [record for record in seen if record.unreadable]
        assert [(record.partition, record.offset) for record in poisoned] == [(0, 1)]
        eventually(lambda: reader.poll(0.02, all_room) == {} and reader.stalled() == ())


class TestBroker:
    def test_poll_of_a_reader_is_bounded_when_the_broker_is_gone(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        reader = own.reader({TopicPartition("hero", 0): 0})
        produce(own.producer(), "hero", b"x")
        read(reader, 1)

        own_broker.set_down()

        started = time.monotonic()
        for _ in range(10):
            reader.poll(0.1, all_room)
        assert time.monotonic() - started < 15

    def test_reading_goes_on_when_the_broker_is_back(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        reader = own.reader({TopicPartition("hero", 0): 0})
        produce(producer, "hero", b"before")
        read(reader, 1)

        own_broker.set_down()
        reader.poll(0.1, all_room)
        own_broker.set_up()

        produce(producer, "hero", b"after")
        assert values(read(reader, 1)) == [b"after"]

    def test_partition_without_leader_keeps_no_other_from_being_read(self, own, own_broker) -> None:
        own_broker.create_topic("hero", 2)
        produce(own.producer(), "hero", b"x", partition=1)
        own_broker.set_partition_leader("hero", 0, None)

        reader = own.reader({TopicPartition("hero", 0): 0, TopicPartition("hero", 1): 0})

        assert values(read(reader, 1)) == [b"x"]

    def test_partition_whose_leader_moves_is_read_on(self, two_brokers) -> None:
        own, broker = two_brokers
        broker.create_topic("hero")
        broker.set_partition_leader("hero", 0, 1)
        producer = own.producer()
        reader = own.reader({TopicPartition("hero", 0): 0})
        produce(producer, "hero", b"1")
        read(reader, 1)

        broker.set_partition_leader("hero", 0, 2)
        produce(producer, "hero", b"2")

        assert values(read(reader, 1)) == [b"2"]

    def test_read_that_is_not_allowed_stands_until_it_is(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        reader = own.reader({TopicPartition("hero", 0): 0})
        own_broker.push_request_errors(ApiKey.FETCH, *[TOPIC_NOT_AUTHORIZED] * 3)

        eventually(lambda: reader.poll(0.05, all_room) == {} and reader.stalled())
        (stalled,) = reader.stalled()
        produce(own.producer(), "hero", b"x")

        assert (stalled.topic, stalled.partition, stalled.offset) == ("hero", 0, 0)
        assert "the right READ on the topic 'hero' is missing" in stalled.reason
        assert values(read(reader, 1)) == [b"x"]
        assert reader.stalled() == ()

    @pytest.mark.parametrize("fault", ["set_down", "freeze"])
    def test_close_is_bounded_when_the_broker_is_gone(self, own, own_broker, fault) -> None:
        own_broker.create_topic("hero")
        reader = own.reader({TopicPartition("hero", 0): 0})
        reader.poll(0.2, all_room)
        getattr(own_broker, fault)()

        started = time.monotonic()
        reader.close()

        assert time.monotonic() - started < 8


class TestOtherThreads:
    def test_wakeup_lets_a_running_poll_return(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        reader = own.reader({TopicPartition("hero", 0): 0})
        reader.poll(0.2, all_room)
        own_broker.freeze()
        reader.poll(0.05, all_room)

        with ThreadPoolExecutor(1) as thread:
            started = time.monotonic()
            polling = thread.submit(reader.poll, 30.0, all_room)
            eventually(lambda: reader.wakeup() or polling.done())
            assert polling.result(0) == {}
        assert time.monotonic() - started < 20

    def test_interrupt_breaks_off_a_hung_poll(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        reader = own.reader({TopicPartition("hero", 0): 0})
        reader.poll(0.2, all_room)
        own_broker.freeze()
        reader.poll(0.05, all_room)

        with ThreadPoolExecutor(1) as thread:
            polling = thread.submit(reader.poll, 30.0, all_room)
            reader.interrupt()
            with pytest.raises(Interrupted):
                polling.result(20)
        with pytest.raises(Interrupted):
            reader.poll(0, all_room)

    def test_reader_starts_no_thread(self, parts, topic) -> None:
        before = set(threading.enumerate())
        reader = parts.reader({TopicPartition(topic(), 0): 0})

        reader.poll(0.01, all_room)

        assert set(threading.enumerate()) <= before


def test_no_error_is_logged_at_a_normal_close(
    parts, topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    partition = TopicPartition(topic(), 0)
    produce(parts.producer(), partition.topic, b"x")
    reader = parts.reader({partition: 0}, consumer={"fetch_max_wait_ms": 500})
    read(reader, 1)
    client = reader.unwrap()._client
    eventually(lambda: reader.poll(0.01, all_room) or client.in_flight_request_count())
    caplog.clear()

    reader.close()

    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
