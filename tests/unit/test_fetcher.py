"""The fetcher survives what its reader and its sink do to it, and loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest

from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.errors import TransportError
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.transport.base import (
    Interrupted,
    OffsetOutOfRange,
    PartitionsReappeared,
    Room,
)
from tests.support.waiting import eventually

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


class Log:
    """What the partitions hold, shared by all readers; makes them fail when told."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[Record]] = {ZERO: [], ONE: []}
        self.failures: list[BaseException] = []
        self.refusals: list[BaseException] = []
        self.reached: dict[TopicPartition, int] = {}
        self.readers: list[FakeReader] = []

    def append(self, partition: TopicPartition, count: int = 1) -> None:
        log = self.records[partition]
        for offset in range(len(log), len(log) + count):
            log.append(Record(*partition, offset, 0, None, b"%d" % offset, []))

    def reader(self) -> FakeReader:
        if self.refusals:
            raise self.refusals.pop(0)
        self.readers.append(FakeReader(self))
        return self.readers[-1]


class FakeReader:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._news = threading.Event()
        self._interrupted = False
        self.positions: dict[TopicPartition, int] = {}
        self.closed = False

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            del self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def poll(
        self, timeout: float, room: Callable[[TopicPartition], Room]
    ) -> Mapping[TopicPartition, list[Record]]:
        if self._interrupted:
            raise Interrupted
        if self._log.failures:
            raise self._log.failures.pop(0)
        found = {}
        for partition, position in self.positions.items():
            records = self._log.records[partition][position:][: room(partition).records]
            if records:
                found[partition] = records
                self.positions[partition] = records[-1].offset + 1
        if not found:
            self._news.wait(min(timeout, 0.01))
            self._news.clear()
        return found

    def take_reached(self) -> Mapping[TopicPartition, int]:
        reached, self._log.reached = self._log.reached, {}
        return reached

    def end_offset(self, partition: TopicPartition) -> int | None:
        return None

    def stalled(self) -> Collection[StalledPartition]:
        return []

    def wakeup(self) -> None:
        self._news.set()

    def interrupt(self) -> None:
        self._interrupted = True
        self._news.set()

    def close(self) -> None:
        self.closed = True

    def unwrap(self) -> Any:
        return self


class NoAdmin:
    """Nothing is asked of the cluster here."""


class Sink:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.tokens: list[Any] = []
        self.failures: list[Exception] = []
        self.holes: list[tuple[TopicPartition, Any, int]] = []
        self.room_for: dict[TopicPartition, int] = {}

    def room(self, partition: TopicPartition, token: Any) -> Room:
        return Room(self.room_for.get(partition, 1_000), 10**9)

    def deliver(self, partition: TopicPartition, token: Any, records: list[Record]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.tokens.append(token)
        self.records += records

    def passed(self, partition: TopicPartition, token: Any, offset: int) -> None:
        self.holes.append((partition, token, offset))

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        return token

    def reappeared(self, partition: TopicPartition, token: Any) -> None: ...

    def offsets(self, partition: TopicPartition) -> list[int]:
        return [r.offset for r in self.records if r.topic_partition == partition]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def fetcher(log: Log, sink: Sink) -> Iterator[Fetcher]:
    admin: Any = NoAdmin()
    made = Fetcher(log.reader, sink, admin, "test-fetcher")
    made.start()
    yield made
    assert made.stop(20)


def test_reading_begins_where_it_was_told_and_is_told(log, sink, fetcher) -> None:
    log.append(ZERO, 5)
    reading = threading.Event()

    fetcher.assign(ZERO, 3, token="token", reading=reading.set)

    assert reading.wait(20)
    eventually(lambda: sink.offsets(ZERO) == [3, 4])
    assert set(sink.tokens) == {"token"}


def test_holes_behind_the_records_are_passed_and_not_read_again(log, sink, fetcher) -> None:
    log.append(ZERO, 2)
    fetcher.assign(ZERO, 0, token="token")
    eventually(lambda: sink.offsets(ZERO) == [0, 1])

    log.reached = {ZERO: 2, ONE: 7}
    eventually(lambda: not log.reached)
    log.reached = {ZERO: 4}
    eventually(lambda: sink.holes)
    log.failures += [RuntimeError("a bug in the base")]
    eventually(lambda: len(log.readers) == 2 and log.readers[1].positions)

    assert sink.holes == [(ZERO, "token", 4)]
    assert log.readers[1].positions == {ZERO: 4}


def test_failed_poll_is_survived_by_the_same_reader(log, sink, fetcher, caplog) -> None:
    fetcher.assign(ZERO, 0)
    log.failures += [TransportError("the broker hiccups")]
    log.append(ZERO)

    eventually(lambda: sink.offsets(ZERO) == [0])

    assert len(log.readers) == 1
    assert "the broker hiccups" in caplog.text
    assert isinstance(fetcher.last_error, TransportError)


def test_broken_reader_is_replaced_where_it_left_off(log, sink, fetcher, caplog) -> None:
    log.append(ZERO, 2)
    fetcher.assign(ZERO, 0)
    eventually(lambda: sink.offsets(ZERO) == [0, 1])

    log.failures += [RuntimeError("a bug in the base")]
    log.append(ZERO, 2)

    eventually(lambda: sink.offsets(ZERO) == [0, 1, 2, 3])
    assert [reader.closed for reader in log.readers] == [True, False]
    assert "a bug in the base" in caplog.text


def test_records_that_a_sink_did_not_take_are_delivered_again(log, sink, fetcher) -> None:
    sink.failures += [RuntimeError("no memory"), RuntimeError("still none")]
    log.append(ZERO, 3)
    log.append(ONE, 3)

    fetcher.assign(ZERO, 0)
    fetcher.assign(ONE, 0)

    eventually(lambda: sink.offsets(ZERO) == sink.offsets(ONE) == [0, 1, 2])


def test_partition_assigned_while_no_reader_can_be_made_is_read_and_told(
    log, sink, fetcher
) -> None:
    log.refusals += [OSError("too many open files")] * 2
    log.append(ZERO)
    reading = threading.Event()

    fetcher.assign(ZERO, 0, reading=reading.set)

    assert reading.wait(20)
    eventually(lambda: sink.offsets(ZERO) == [0])


def test_unassigned_partition_is_read_no_longer(log, sink, fetcher) -> None:
    fetcher.assign(ZERO, 0)
    fetcher.assign(ONE, 0)
    fetcher.unassign(ZERO)
    log.append(ZERO)
    log.append(ONE)

    eventually(lambda: sink.offsets(ONE) == [0])

    assert sink.offsets(ZERO) == []
    fetcher.unassign(ZERO)


def test_new_token_takes_effect_with_its_position(log, sink, fetcher) -> None:
    log.append(ZERO, 2)
    fetcher.assign(ZERO, 0, token="old")
    eventually(lambda: sink.offsets(ZERO) == [0, 1])

    fetcher.assign(ZERO, 1, token="new")

    eventually(lambda: sink.offsets(ZERO) == [0, 1, 1])
    assert sink.tokens[-1] == "new"


def test_room_is_never_exceeded(log, sink, fetcher) -> None:
    sink.room_for[ZERO] = 2
    log.append(ZERO, 9)
    batches: list[int] = []
    deliver = sink.deliver

    def counted(partition: TopicPartition, token: Any, records: list[Record]) -> None:
        batches.append(len(records))
        deliver(partition, token, records)

    sink.deliver = counted
    fetcher.assign(ZERO, 0)

    eventually(lambda: sink.offsets(ZERO) == list(range(9)))
    assert max(batches) == 2


class SlowAdmin:
    """Does not answer until it may."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        self.asked.set()
        assert self.may_answer.wait(30)
        return dict.fromkeys(timestamps, 2)


@pytest.mark.parametrize(
    "trouble",
    [OffsetOutOfRange({ZERO: 0}), PartitionsReappeared({ZERO: 1_000.0})],
    ids=["out of the log", "unknown for a while"],
)
def test_partitions_are_read_while_the_offset_of_another_is_looked_up(log, sink, trouble) -> None:
    slow = SlowAdmin()
    admin: Any = slow
    fetcher = Fetcher(log.reader, sink, admin, "test-fetcher", reread_seconds=60)
    fetcher.start()
    try:
        fetcher.assign(ZERO, 10)
        fetcher.assign(ONE, 0)
        log.failures.append(trouble)
        assert slow.asked.wait(20)

        log.append(ONE, 3)
        eventually(lambda: sink.offsets(ONE) == [0, 1, 2], 20)

        log.append(ZERO, 4)
        slow.may_answer.set()
        eventually(lambda: sink.offsets(ZERO) == [2, 3], 20)
    finally:
        slow.may_answer.set()
        assert fetcher.stop(20)


def test_functions_run_with_the_reader_in_its_thread(log, fetcher) -> None:
    seen: list[tuple[Any, str]] = []

    fetcher.run(lambda reader: seen.append((reader, threading.current_thread().name)))

    eventually(lambda: seen)
    assert seen == [(log.readers[0], "test-fetcher")]
    assert fetcher.unwrap() is log.readers[0]


def test_time_of_the_last_poll_goes_on_also_without_partitions(fetcher) -> None:
    before = time.monotonic()

    fetcher.wake()

    eventually(lambda: fetcher.last_poll >= before)


def test_stop_closes_the_reader_and_ends_the_thread(log, fetcher) -> None:
    fetcher.assign(ZERO, 0)
    eventually(lambda: log.readers and log.readers[0].positions)

    assert fetcher.stop(20)
    assert fetcher.stop(20)

    assert log.readers[0].closed
    assert not fetcher.alive


def test_fetcher_that_never_started_stops(log, sink) -> None:
    admin: Any = NoAdmin()

    assert Fetcher(log.reader, sink, admin, "idle").stop(1)


def test_reader_that_cannot_be_made_is_tried_with_growing_pauses(log, sink, fetcher) -> None:
    tries: list[float] = []
    make = fetcher._make_reader

    def counted():
        tries.append(time.monotonic())
        return make()

    fetcher._make_reader = counted
    log.refusals += [OSError("too many open files")] * 3
    log.append(ZERO)

    fetcher.assign(ZERO, 0)
    for _ in range(100):
        fetcher.wake()

    eventually(lambda: sink.offsets(ZERO) == [0])
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    # A tenth of a second doubles each time; chance takes away a fifth at most.
    assert all(pause >= 0.08 * 2**n for n, pause in enumerate(pauses))
    assert len(pauses) == 3


def test_seek_before_the_stop_is_told_to_the_sink_though_nothing_is_read_any_more(log, sink):
    sought: list[int] = []
    sink.restarted = lambda partition, token, offset: sought.append(offset)
    admin: Any = NoAdmin()
    fetcher = Fetcher(log.reader, sink, admin, "test-fetcher")
    fetcher.start()
    fetcher.assign(ZERO, 3)
    eventually(lambda: log.readers and log.readers[0].positions)
    polling, stopping = threading.Event(), threading.Event()

    def stop_while_the_seek_waits(_: Any) -> None:
        polling.set()
        stopping.wait(20)

    fetcher.run(stop_while_the_seek_waits)
    assert polling.wait(20)
    fetcher.seek(ZERO, 7)
    fetcher._stop_requested.set()
    stopping.set()

    assert fetcher.stop(20)
    assert sought == [7]
