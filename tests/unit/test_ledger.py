"""The books of a server: bounds on what is held, fairness, and epochs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.ledger import AssignedPartition, Ledger

HERO = TopicPartition("hero", 0)
VILLAIN = TopicPartition("villain", 0)
PLENTY = 10**9


def record(partition: TopicPartition, offset: int, size: int = 1) -> Record:
    return Record(*partition, offset, 0, None, b"x" * size, [])


def records(partition: TopicPartition, offsets: Iterable[int], size: int = 1) -> list[Record]:
    return [record(partition, offset, size) for offset in offsets]


def offer(ledger: Ledger, assigned: AssignedPartition, given: list[Record]) -> list[Record]:
    """Read as the fetcher does: ask for room, then deliver what fits, the last record past it."""
    max_records, max_bytes = ledger.room(assigned)
    fitting: list[Record] = []
    while len(fitting) < min(max_records, len(given)) and sum(r.size for r in fitting) < max_bytes:
        fitting.append(given[len(fitting)])
    return ledger.accept(assigned, fitting)


def open_at(ledger: Ledger, partition: TopicPartition, offset: int) -> AssignedPartition:
    return ledger.open(partition, OffsetAndMetadata(offset))


def hold(ledger: Ledger, assigned: AssignedPartition, count: int, size: int = 1) -> list[Record]:
    first = assigned.tracker.next_offset
    return offer(ledger, assigned, records(assigned.partition, range(first, first + count), size))


def release(ledger: Ledger, assigned: AssignedPartition, one: Record) -> bool:
    """Hold it no longer; whether that makes room for those who wait."""
    return ledger.release(assigned, one, finished=False).makes_room


def test_headers_take_room() -> None:
    ledger = Ledger(10, 1_000_000)
    hero = open_at(ledger, HERO, 0)
    large = record(HERO, 0)._replace(headers=[("h", bytes(900_000))])

    ledger.accept(hero, [large])
    assert ledger.room(hero).bytes < 100_000

    release(ledger, hero, large)
    assert ledger.room(hero).bytes == 1_000_000


class TestBarrier:
    def test_nothing_more_is_held_until_the_barrier_is_released(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        before, barrier = hold(ledger, hero, 2)
        ledger.bar(hero, barrier)

        assert ledger.room(hero) == (0, 0)
        assert not release(ledger, hero, before)
        assert ledger.room(hero) == (0, 0)
        assert release(ledger, hero, barrier)
        assert ledger.room(hero).records == 10

    def test_barrier_of_one_partition_is_none_for_others(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)
        (barrier,) = hold(ledger, hero, 1)
        ledger.bar(hero, barrier)

        assert ledger.room(hero) == (0, 0)
        assert ledger.room(villain).records

    def test_barrier_that_is_released_makes_no_room_where_much_is_held(self) -> None:
        ledger = Ledger(4, PLENTY)
        hero = open_at(ledger, HERO, 0)
        *_, third, barrier = hold(ledger, hero, 4)
        ledger.bar(hero, barrier)
        ledger.room(hero)

        assert not release(ledger, hero, barrier)
        assert release(ledger, hero, third)

    def test_barrier_of_a_lost_epoch_is_none_for_the_next(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        (barrier,) = hold(ledger, hero, 1)
        ledger.bar(hero, barrier)
        ledger.close([HERO])

        again = open_at(ledger, HERO, 0)

        assert ledger.room(again).records
        release(ledger, hero, barrier)
        assert ledger.room(again).records


class TestBounds:
    def test_no_more_records_are_held_than_allowed(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)

        assert len(hold(ledger, hero, 25)) == 10
        assert hold(ledger, hero, 25) == []
        assert ledger.held == 10

    def test_the_first_records_are_taken_in_order(self) -> None:
        ledger = Ledger(3, PLENTY)

        taken = hold(ledger, open_at(ledger, HERO, 7), 5)

        assert [one.offset for one in taken] == [7, 8, 9]

    def test_bytes_are_bounded_past_the_record_that_fills_them(self) -> None:
        ledger = Ledger(1000, 100)

        assert len(hold(ledger, open_at(ledger, HERO, 0), 50, size=40)) == 3

    def test_record_above_the_bound_passes_alone(self) -> None:
        ledger = Ledger(1000, 100)
        hero = open_at(ledger, HERO, 0)

        assert len(hold(ledger, hero, 2, size=500)) == 1

    def test_partitions_share_the_room_fairly(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)

        assert len(hold(ledger, hero, 25)) == 5
        assert len(hold(ledger, villain, 25)) == 5

    def test_partitions_share_the_bytes_fairly(self) -> None:
        ledger = Ledger(1000, 100)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)

        assert len(hold(ledger, hero, 50, size=10)) == 5
        assert len(hold(ledger, villain, 50, size=10)) == 5

    @pytest.mark.parametrize(("chunk", "held"), [(0, 100), (10, 80), (25, 50), (1000, 50)])
    def test_room_is_kept_for_what_is_fetched(self, chunk: int, held: int) -> None:
        ledger = Ledger(1000, 100, chunk_bytes=chunk)
        both = [open_at(ledger, partition, 0) for partition in (HERO, VILLAIN)]

        assert sum(len(hold(ledger, one, 100)) for one in both) == held

    @pytest.mark.parametrize("size", [1, 100])
    def test_rooms_that_are_told_in_one_round_do_not_pass_the_bound_together(self, size) -> None:
        ledger = Ledger(100, 100 * size)
        first = open_at(ledger, HERO, 0)
        hold(ledger, first, 70, size=size)
        others = [open_at(ledger, TopicPartition("hero", number), 0) for number in range(1, 4)]

        rooms = [ledger.room(one) for one in others]
        for one, room in zip(others, rooms, strict=True):
            count = min(room.records, -(-room.bytes // size))
            ledger.accept(one, records(one.partition, range(count), size))

        assert 70 < ledger.held <= 100

    def test_newcomer_is_not_starved_by_a_partition_that_is_stuck(self) -> None:
        ledger = Ledger(10, PLENTY)
        hold(ledger, open_at(ledger, HERO, 0), 10)
        villain = open_at(ledger, VILLAIN, 0)

        for _ in range(3):
            (one,) = hold(ledger, villain, 5)
            assert hold(ledger, villain, 5) == []
            assert release(ledger, villain, one)

    def test_each_partition_gets_one_record_when_there_are_more_of_them_than_room(self) -> None:
        ledger = Ledger(2, PLENTY)
        assigned = [open_at(ledger, TopicPartition("hero", number), 0) for number in range(5)]

        assert [len(hold(ledger, one, 3)) for one in assigned] == [1] * 5


class TestWakeUp:
    def test_nobody_is_woken_when_nobody_was_refused(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)

        assert [release(ledger, hero, one) for one in taken] == [False] * 10

    def test_full_partition_is_woken_once_when_half_of_its_share_is_free(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)
        assert ledger.room(hero) == (0, 0)

        woken = [release(ledger, hero, one) for one in taken]

        assert woken == [False] * 4 + [True] + [False] * 5

    def test_full_partition_has_no_room_until_half_of_its_share_is_free(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)
        rooms = []

        ledger.room(hero)
        for one in taken:
            release(ledger, hero, one)
            rooms.append(ledger.room(hero).records)

        assert rooms == [0, 0, 0, 0, 5, 6, 7, 8, 9, 10]

    def test_partition_that_was_refused_for_bytes_is_woken_when_half_of_its_part_is_free(
        self,
    ) -> None:
        ledger = Ledger(1000, 200)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)
        hold(ledger, villain, 4, size=25)
        taken = hold(ledger, hero, 4, size=25)
        assert hold(ledger, hero, 1, size=25) == []

        assert [release(ledger, hero, one) for one in taken] == [False, True, False, False]
        assert len(hold(ledger, hero, 1, size=25)) == 1

    def test_one_slow_partition_does_not_keep_others_asleep(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)
        hold(ledger, hero, 6)
        of_villain = hold(ledger, villain, 6)
        assert ledger.room(hero) == ledger.room(villain) == (0, 0)

        woken = [release(ledger, villain, one) for one in of_villain]

        assert woken.count(True) == 1


class TestEpochs:
    def test_stale_epoch_takes_all_and_holds_nothing(self) -> None:
        ledger = Ledger(2, 1)
        stale = open_at(ledger, HERO, 0)
        ledger.close([HERO])

        assert ledger.room(stale).records > 1000
        assert hold(ledger, stale, 3) == []
        assert ledger.held == 0

    def test_record_that_was_delivered_before_is_not_held_again(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        hold(ledger, hero, 3)

        new = ledger.accept(hero, records(HERO, range(1, 5)))

        assert [one.offset for one in new] == [3, 4]
        assert ledger.held == 5

    def test_stale_epoch_finishes_nothing(self) -> None:
        ledger = Ledger(10, PLENTY)
        stale = open_at(ledger, HERO, 0)
        hold(ledger, stale, 3)
        ledger.close([HERO])
        open_at(ledger, HERO, 0)

        ledger.finish(stale, record(HERO, 0))

        assert ledger.committable() == {}
        assert stale.tracker.position == 0

    def test_bytes_of_a_stale_epoch_count_until_they_are_released(self) -> None:
        ledger = Ledger(1000, 100)
        stale = open_at(ledger, HERO, 0)
        (held,) = hold(ledger, stale, 1, size=100)
        ledger.close([HERO])
        again = open_at(ledger, HERO, 0)
        (one,) = hold(ledger, again, 2)
        assert hold(ledger, again, 1) == []

        assert release(ledger, stale, held)

        assert len(hold(ledger, again, 1)) == 1
        assert not release(ledger, again, one)

    def test_close_tells_what_was_open(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)

        assert ledger.close([VILLAIN, HERO]) == [hero]
        assert hero.lost
        assert list(ledger.partitions) == []


class TestCommittable:
    def test_start_position_counts_as_committed(self) -> None:
        ledger = Ledger(10, PLENTY)
        open_at(ledger, HERO, 5)

        assert ledger.committable() == {}

    def test_only_the_finished_prefix_is_committable(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        hold(ledger, hero, 5)

        for offset in (0, 1):
            ledger.finish(hero, record(HERO, offset))

        assert ledger.committable() == {hero: OffsetAndMetadata(2)}

    def test_what_is_finished_behind_the_prefix_is_not_held_by_the_next_owner(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        hold(ledger, hero, 5)
        for offset in (0, 1, 3):
            ledger.finish(hero, record(HERO, offset))
        committed = ledger.committable()[hero]
        assert committed.offset == 2

        taken_over = Ledger(10, PLENTY)
        new = taken_over.accept(taken_over.open(HERO, committed), records(HERO, range(2, 6)))

        assert [one.offset for one in new] == [2, 4, 5]
        assert taken_over.held == 3

    def test_metadata_of_others_finishes_nothing(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = ledger.open(HERO, OffsetAndMetadata(2, "checkpoint of another library"))

        assert len(hold(ledger, hero, 3)) == 3

    def test_what_was_committed_is_not_committable_again(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        hold(ledger, hero, 1)
        ledger.finish(hero, record(HERO, 0))

        ledger.committed(ledger.committable())

        assert ledger.committable() == {}

    def test_finished_records_are_counted_from_commit_to_commit(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        hold(ledger, hero, 3)

        assert [ledger.finish(hero, record(HERO, offset)) for offset in (0, 1)] == [1, 2]
        ledger.committable()
        assert ledger.finish(hero, record(HERO, 2)) == 1


@pytest.mark.parametrize("partitions", [1, 3, 7])
@given(limit=st.integers(1, 30), batches=st.lists(st.integers(1, 20), max_size=20))
def test_bound_holds_for_any_batches(partitions: int, limit: int, batches: list[int]) -> None:
    ledger = Ledger(limit, PLENTY)
    assigned = [open_at(ledger, TopicPartition("hero", n), 0) for n in range(partitions)]

    for index, count in enumerate(batches):
        hold(ledger, assigned[index % partitions], count)

    assert ledger.held <= max(limit, partitions)
    assert all(one.held <= max(1, limit // partitions) for one in assigned)


class LedgerMachine(RuleBasedStateMachine):
    """Partitions come and go while their records are held, finished and released."""

    @initialize(limit=st.integers(1, 12), limit_bytes=st.integers(1, 200))
    def start(self, limit: int, limit_bytes: int) -> None:
        self.ledger = Ledger(limit, limit_bytes)
        self.limit, self.limit_bytes = limit, limit_bytes
        self.open: dict[TopicPartition, AssignedPartition] = {}
        self.held: list[tuple[AssignedPartition, Record]] = []
        self.offset = 0
        self.waiting: set[TopicPartition] = set()

    @property
    def bytes_held(self) -> int:
        return sum(one.size for _, one in self.held)

    @rule(number=st.integers(0, 3))
    def open_or_close(self, number: int) -> None:
        partition = TopicPartition("hero", number)
        self.waiting.discard(partition)
        if partition in self.open:
            self.ledger.close([partition])
            del self.open[partition]
        else:
            self.open[partition] = open_at(self.ledger, partition, self.offset)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), sizes=st.lists(st.integers(0, 80), min_size=1, max_size=6))
    def accept(self, data: st.DataObject, sizes: list[int]) -> None:
        partition = data.draw(st.sampled_from(sorted(self.open)))
        given_records = [
            record(partition, self.offset + index, size) for index, size in enumerate(sizes)
        ]
        self.offset += len(sizes)

        records_before, bytes_before = len(self.held), self.bytes_held

        taken = offer(self.ledger, self.open[partition], given_records)

        assert taken == given_records[: len(taken)]
        self.held += [(self.open[partition], one) for one in taken]
        if taken:
            # One that held nothing may take one; the last record may pass the bytes.
            assert len(self.held) <= max(self.limit, records_before + 1)
            passing = taken[-1].size
            assert self.bytes_held <= max(self.limit_bytes, bytes_before + 1) + passing
        if self.ledger.room(self.open[partition]) == (0, 0):
            self.waiting.add(partition)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.held) - 1))
        assigned, one = self.held.pop(index)

        if self.ledger.release(assigned, one, finished=True).makes_room:
            self.waiting = {p for p in self.waiting if not self.ledger.room(self.open[p]).records}

    @invariant()
    def who_was_refused_is_woken_at_the_latest_when_nothing_is_held(self) -> None:
        assert self.held or not self.waiting

    @invariant()
    def what_is_held_counts_until_it_is_released_also_of_partitions_that_left(self) -> None:
        assert self.ledger.held == len(self.held)


TestLedgerMachine = LedgerMachine.TestCase


def pairs(
    assigned: AssignedPartition, taken: list[Record]
) -> list[tuple[AssignedPartition, Record]]:
    return [(assigned, one) for one in taken]


class TestAside:
    def test_what_waits_aside_makes_room_for_others(self) -> None:
        ledger = Ledger(10, PLENTY, max_waiting=100)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)
        assert hold(ledger, hero, 1) == []

        assert ledger.set_aside(pairs(hero, taken))

        assert len(hold(ledger, hero, 20)) == 10
        assert ledger.held == 20

    def test_what_waits_aside_is_bounded(self) -> None:
        ledger = Ledger(10, PLENTY, max_waiting=15)
        hero = open_at(ledger, HERO, 0)
        ledger.set_aside(pairs(hero, hold(ledger, hero, 10)))
        ledger.set_aside(pairs(hero, hold(ledger, hero, 10)))

        assert ledger.held == 15
        assert hold(ledger, hero, 1) == []

    def test_bytes_of_one_partition_do_not_keep_out_another(self) -> None:
        ledger = Ledger(100, 100)
        hero, villain = open_at(ledger, HERO, 0), open_at(ledger, VILLAIN, 0)
        ledger.set_aside(pairs(hero, hold(ledger, hero, 2, size=30)))

        assert hold(ledger, hero, 1) == []
        assert len(hold(ledger, villain, 1)) == 1

    def test_partition_is_read_again_once_half_of_what_waited_is_worked_off(self) -> None:
        ledger = Ledger(10, PLENTY, max_waiting=10)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)
        ledger.set_aside(pairs(hero, taken))
        assert hold(ledger, hero, 1) == []

        for count, one in enumerate(taken, start=1):
            ledger.take_back([(hero, one)])
            released = ledger.release(hero, one, finished=True)
            assert released.makes_room == (count == 5)

        assert ledger.held == 0

    def test_all_is_accounted_for_after_an_epoch_is_over(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 0)
        taken = hold(ledger, hero, 10)
        ledger.set_aside(pairs(hero, taken))
        ledger.close([HERO])

        ledger.take_back(pairs(hero, taken))
        for one in taken:
            ledger.release(hero, one, finished=False)

        assert (hero.held, hero.aside, hero.aside_bytes) == (0, 0, 0)


class TestReopen:
    def test_new_epoch_takes_the_place_of_the_old_one(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 7)

        begun = ledger.reopen(hero, 3)

        assert hero.lost
        assert ledger.partitions == [HERO]
        assert ledger.positions() == {HERO: 3}
        assert ledger.close([HERO]) == [begun]

    def test_epoch_that_was_given_up_is_not_reopened(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 7)
        ledger.close([HERO])

        assert ledger.reopen(hero, 3) is hero
        assert ledger.partitions == []

    def test_nothing_is_held_before_its_start_is_committed(self) -> None:
        ledger = Ledger(10, PLENTY)
        begun = ledger.reopen(open_at(ledger, HERO, 7), 3)

        assert ledger.awaits_commit
        assert offer(ledger, begun, records(HERO, [3, 4])) == []

        assert ledger.committable() == {begun: OffsetAndMetadata(3)}
        assert ledger.committed({begun: OffsetAndMetadata(3)})
        assert not ledger.awaits_commit
        assert len(offer(ledger, begun, records(HERO, [3, 4]))) == 2

    def test_commit_of_the_epoch_before_is_not_enough(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 7)
        begun = ledger.reopen(hero, 3)

        ledger.committed({hero: OffsetAndMetadata(7)})

        assert offer(ledger, begun, records(HERO, [3])) == []

    def test_room_that_others_left_does_not_replace_the_commit(self) -> None:
        ledger = Ledger(2, PLENTY)
        villain = open_at(ledger, VILLAIN, 0)
        held = hold(ledger, villain, 1)
        begun = ledger.reopen(open_at(ledger, HERO, 7), 3)
        assert offer(ledger, begun, records(HERO, [3])) == []

        release(ledger, villain, held[0])

        assert offer(ledger, begun, records(HERO, [3])) == []

    def test_partition_in_doubt_is_neither_read_nor_committed(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 7)
        one = hold(ledger, hero, 1)[0]

        ledger.doubt(hero)
        ledger.release(hero, one, finished=True)

        assert list(ledger.doubted) == [hero]
        assert ledger.committable() == {}
        assert offer(ledger, hero, records(HERO, [8])) == []

    def test_partition_that_is_trusted_again_is_committed_before_it_goes_on(self) -> None:
        ledger = Ledger(10, PLENTY)
        hero = open_at(ledger, HERO, 7)
        ledger.doubt(hero)

        ledger.trust(hero)

        assert offer(ledger, hero, records(HERO, [7])) == []
        assert ledger.committable() == {hero: OffsetAndMetadata(7)}
        ledger.committed(ledger.committable())
        assert len(offer(ledger, hero, records(HERO, [7]))) == 1


def test_records_of_a_later_leader_are_new_where_earlier_ones_were_finished() -> None:
    # As after an unclean election: the log was cut short at 12, and offsets were given out again.
    ledger = Ledger(100, PLENTY)
    before = ledger.open(HERO, OffsetAndMetadata(10))
    read = [one._replace(leader_epoch=3) for one in records(HERO, range(10, 16))]
    for one in ledger.accept(before, read)[1:]:
        ledger.release(before, one, finished=True)
    (committed,) = ledger.committable().values()
    ledger.close([HERO])

    assigned = ledger.open(HERO, committed)
    kept = [one._replace(leader_epoch=3) for one in records(HERO, [10, 11])]
    anew = [one._replace(leader_epoch=4) for one in records(HERO, [12, 13, 14, 15])]

    assert ledger.accept(assigned, [*kept, *anew]) == [kept[0], *anew]
