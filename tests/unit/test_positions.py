"""From where partitions are read on, when their log is not what it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import pytest

from kafka_patterns.consuming.positions import Positions
from kafka_patterns.message import TopicPartition

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


class FakeReader:
    """As strict as the base: only what is assigned can be sought."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self.offsets[partition] = offset

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            del self.offsets[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert partition in self.offsets
        self.offsets[partition] = offset


class FakeAdmin:
    """Answers with what it is told to know."""

    def __init__(self) -> None:
        self.known: dict[TopicPartition, int] = {}
        self.asked: list[Mapping[TopicPartition, int]] = []

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        self.asked.append(timestamps)
        return {tp: self.known[tp] for tp in timestamps if tp in self.known}


class FakeLookups:
    """Asks at once; gives the answers at once as well, unless they are held back."""

    def __init__(self, admin: FakeAdmin) -> None:
        self._admin = admin
        self.held_back: list[Callable[[], object]] | None = None

    def ask(self, timestamps: Mapping[TopicPartition, int], found: Any) -> None:
        answer = partial(found, self._admin.offsets(timestamps, 2.0))
        if self.held_back is None:
            answer()
        else:
            self.held_back.append(answer)


class FakeSink:
    """Gives a new token each time."""

    def __init__(self) -> None:
        self.doubted: list[tuple[TopicPartition, Any]] = []

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        return (token, offset)

    def reappeared(self, partition: TopicPartition, token: Any) -> None:
        self.doubted.append((partition, token))


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


@pytest.fixture
def lookups(admin: FakeAdmin) -> FakeLookups:
    return FakeLookups(admin)


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def positions(reader: FakeReader, lookups: FakeLookups, sink: FakeSink) -> Positions:
    given_sink: Any = sink
    given_lookups: Any = lookups
    given_reader: Any = reader
    made = Positions(given_sink, given_lookups, lambda: given_reader, reread_seconds=60.0)
    made.open(ZERO, 10, "first")
    made.hand_to(given_reader)
    return made


def test_lost_position_goes_on_at_the_beginning(positions, reader, admin) -> None:
    admin.known = {ZERO: 7}

    positions.lose({ZERO: 10})
    assert reader.offsets == {}
    positions.find_lost()

    assert reader.offsets == {ZERO: 7}
    assert positions.get(ZERO).token == ("first", 7)


def test_lost_position_that_nobody_knows_the_beginning_of_is_not_asked_for_all_the_time(
    positions, reader, admin
) -> None:
    positions.lose({ZERO: 10})

    positions.find_lost()
    positions.find_lost()

    assert len(admin.asked) == 1
    assert reader.offsets == {}


def test_beginning_is_asked_for_once_while_no_answer_is_there(positions, admin, lookups) -> None:
    lookups.held_back = []
    positions.lose({ZERO: 10})

    positions.find_lost()
    positions.find_lost()

    assert len(admin.asked) == 1


@pytest.mark.parametrize("answer", [{ZERO: 7}, {}])
def test_answer_that_comes_too_late_changes_nothing(
    positions, reader, admin, lookups, answer
) -> None:
    lookups.held_back = []
    admin.known = answer
    positions.lose({ZERO: 10})
    positions.find_lost()
    positions.seek(ZERO, 42)

    for give in lookups.held_back:
        give()
    positions.find_lost()

    assert reader.offsets == {ZERO: 42}


@pytest.mark.parametrize("is_assigned_anew", [False, True])
def test_answer_for_an_earlier_assignment_changes_nothing(
    positions, reader, admin, lookups, is_assigned_anew
) -> None:
    lookups.held_back = []
    admin.known = {ZERO: 4}
    positions.lose({ZERO: 10})
    positions.find_lost()
    positions.doubt({ZERO: 1_000.0})
    positions.close(ZERO)
    if is_assigned_anew:
        positions.open(ZERO, 20, "second")
        reader.assign(ZERO, 20)
    before = dict(reader.offsets)

    for give in lookups.held_back:
        give()

    assert reader.offsets == before


def test_who_seeks_meanwhile_need_not_wait_for_the_beginning(positions, reader, admin) -> None:
    positions.lose({ZERO: 10})
    positions.find_lost()

    positions.seek(ZERO, 42)
    admin.known = {ZERO: 7}
    positions.find_lost()

    assert reader.offsets == {ZERO: 42}


def test_new_reader_goes_on_where_the_last_one_was_except_where_that_is_lost(
    positions, reader
) -> None:
    positions.open(ONE, 3, "other")
    positions.hand_to(reader)
    positions.lose({ZERO: 10})
    another = FakeReader()

    positions.hand_to(another)

    assert another.offsets == {ONE: 3}


def test_what_is_not_assigned_is_not_sought(positions, reader) -> None:
    positions.seek(ONE, 5)

    assert reader.offsets == {ZERO: 10}


def test_log_that_was_unknown_is_read_from_a_while_before_that_on(positions, reader, admin) -> None:
    admin.known = {ZERO: 4}

    positions.doubt({ZERO: 1_000.0})

    assert admin.asked == [{ZERO: 940_000}]
    assert reader.offsets == {ZERO: 4}
    assert positions.get(ZERO).next_offset == 4


def test_log_that_is_the_same_is_not_skipped_ahead(positions, reader, admin) -> None:
    admin.known = {ZERO: 11}

    positions.doubt({ZERO: 1_000.0})

    assert reader.offsets == {ZERO: 10}


def test_sink_is_told_of_a_log_that_may_be_another_one(positions, sink) -> None:
    positions.doubt({ZERO: 1_000.0, ONE: 1_000.0})

    assert sink.doubted == [(ZERO, "first")]


def test_what_is_read_with_another_token_by_now_is_not_sought(positions, reader) -> None:
    positions.seek(ZERO, 3)

    positions.seek(ZERO, 0, token="first")

    assert reader.offsets == {ZERO: 3}
    positions.seek(ZERO, 0, token=positions.get(ZERO).token)
    assert reader.offsets == {ZERO: 0}
