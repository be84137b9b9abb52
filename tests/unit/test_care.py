"""Which message ended a process is found out in few more ends, and nobody else is blamed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.work_notes import decode_notes

HERO = TopicPartition("hero", 0)
START = OffsetAndMetadata(10)


class Process:
    """One life of a server: the group's offsets survive it, and nothing else."""

    def __init__(self, start: OffsetAndMetadata, *, records: int = 10) -> None:
        self.ledger = Ledger(1000, 10**6)
        self.assigned = self.ledger.open(HERO, start, announced=True)
        self.offsets = start
        self.commit()
        offsets = range(start.offset, START.offset + records)
        self.records = self.ledger.accept(
            self.assigned, [Record(*HERO, offset, 0, None, b"", []) for offset in offsets]
        )

    def commit(self) -> None:
        committable = self.ledger.committable()
        self.ledger.committed(committable)
        self.offsets = committable.get(self.assigned, self.offsets)

    @property
    def _care(self):
        assert self.assigned.care is not None
        return self.assigned.care

    def begin(self, *offsets: int) -> list[int]:
        """Let workers take these; returns those that run."""
        waiting = [offset for offset in offsets if not self._care.may_begin(offset)]
        self.commit()
        return [o for o in offsets if o not in waiting or self._care.may_begin(o)]

    def finish(self, *offsets: int) -> None:
        for record in self.records:
            if record.offset in offsets:
                self._care.ended(record.offset)
                self.ledger.release(self.assigned, record, finished=True)

    def hand_over(self) -> OffsetAndMetadata:
        self.ledger.care.handing_over = True
        self.commit()
        return self.offsets

    @property
    def ends(self) -> dict[int, int]:
        return self._care.ends


def noted(offsets: OffsetAndMetadata) -> dict[int, int]:
    return dict(decode_notes(*offsets)[0].suspects)


def test_nothing_is_delivered_before_it_is_committed_that_work_begins() -> None:
    ledger = Ledger(1000, 10**6)
    assigned = ledger.open(HERO, START, announced=True)
    assert ledger.room(assigned).records == 0

    (committable,) = ledger.committable().values()
    assert ledger.committed({assigned: committable})

    assert ledger.room(assigned).records == 1000
    assert decode_notes(*committable)[0].level == 1


def test_after_a_hand_over_nothing_waits_and_nothing_is_noted() -> None:
    first = Process(START)
    first.begin(10, 11)
    first.finish(10)

    offsets = first.hand_over()
    assert offsets == OffsetAndMetadata(11)
    assert Process(offsets).assigned.care.may_begin(11)  # type: ignore[union-attr]


def test_message_that_ends_its_processes_alone_is_counted_each_time_but_the_first() -> None:
    offsets = START
    for life in range(5):
        process = Process(offsets)
        assert process.ends.get(12, 0) == max(0, life - 1)
        for offset in (10, 11):
            if offset >= process.offsets.offset:
                assert process.begin(offset) == [offset]
                process.finish(offset)
        assert process.begin(12) == [12]
        offsets = process.offsets  # and that was all of it

    assert Process(offsets).ends == {12: 4}


def test_those_beside_it_are_not_blamed() -> None:
    first = Process(START)
    first.begin(10, 11, 12, 13)
    second = Process(first.offsets)
    assert second.begin(10, 11, 12, 13) == [10, 11, 12, 13]  # in parallel, and noted
    assert noted(second.offsets) == {10: 0, 11: 0, 12: 0, 13: 0}

    third = Process(second.offsets)
    assert third.begin(10, 11, 12, 13) == [10]  # one at a time
    third.finish(10)
    assert third.begin(11, 12, 13) == [11]
    third.finish(11)
    assert third.begin(12, 13) == [12]

    fourth = Process(third.offsets)
    assert fourth.ends == {12: 1, 13: 0}
    assert fourth.begin(12) == [12]
    assert Process(fourth.offsets).ends == {12: 2, 13: 0}


def test_nothing_begins_beside_a_suspect_and_the_others_follow() -> None:
    first = Process(START)
    second = Process(first.offsets)
    second.begin(10, 11)
    third = Process(second.offsets)

    assert third.begin(15) == [15]  # it came first
    assert third.begin(10, 16) == []
    third.finish(15)
    assert third.begin(10, 16) == [10]
    third.finish(10)
    assert third.begin(16, 17) == [16, 17]


@pytest.mark.parametrize("taken", [[10], [10, 11]])
def test_ends_known_survive_a_hand_over(taken: Sequence[int]) -> None:
    killed = Process(Process(START).offsets)
    killed.begin(10)
    assert noted(killed.offsets) == {10: 1}

    next_one = Process(killed.offsets)

    assert noted(next_one.hand_over()) == {10: 1}


def test_lost_partition_lets_the_suspects_of_others_run() -> None:
    other = TopicPartition("hero", 1)
    first = Process(START)
    second = Process(first.offsets)
    second.begin(10)
    third = Process(second.offsets)
    assert third.begin(10) == [10]
    careful = third.ledger.open(other, second.offsets, announced=True)
    assert isinstance(careful, AssignedPartition)
    assert careful.care is not None
    assert not careful.care.may_begin(10)

    third.ledger.close([HERO])
    assert not careful.care.may_begin(10)  # its commit is due
    third.ledger.committed(third.ledger.committable())

    assert careful.care.may_begin(10)


def test_care_ends_behind_the_window_and_reaches_further_after_each_end() -> None:
    offsets = START
    reach = []
    for _ in range(3):
        process = Process(offsets)
        care = process.assigned.care
        assert care is not None
        reach.append(next(n for n in range(10_000) if care.may_begin(10 + n)))
        process.ledger.close([HERO])
        offsets = process.offsets

    assert reach == [0, 100, 400]
