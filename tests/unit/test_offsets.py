"""What may be committed: never past a delivered record that is not finished."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.server.offsets import OffsetTracker

GAPS = st.integers(0, 5)


class TrackerMachine(RuleBasedStateMachine):
    """Delivers with gaps, as compaction leaves them, and finishes in any order."""

    @initialize(start=st.integers(0, 10**12))
    def start(self, start: int) -> None:
        self.tracker = OffsetTracker(start)
        self.next_offset = start
        self.highest_position = start
        self.unfinished: set[int] = set()
        self.finished: set[int] = set()

    @rule(gap=GAPS)
    def deliver(self, gap: int) -> None:
        offset = self.next_offset + gap

        assert self.tracker.deliver(offset)

        self.unfinished.add(offset)
        self.next_offset = offset + 1

    @rule(gap=GAPS)
    def skip(self, gap: int) -> None:
        self.next_offset += gap

        self.tracker.skip_to(self.next_offset)

    @rule()
    def skip_nothing(self) -> None:
        self.tracker.skip_to(self.next_offset - 1)

    @precondition(lambda self: self.unfinished)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.unfinished)))
        was_first = offset == min(self.unfinished)

        assert self.tracker.finish(offset) == was_first

        self.unfinished.remove(offset)
        self.finished.add(offset)

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def finish_again(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.finished)))

        assert not self.tracker.finish(offset)

    @precondition(lambda self: self.unfinished or self.finished)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.unfinished | self.finished)))

        assert not self.tracker.deliver(offset)

    @invariant()
    def position_is_the_lowest_unfinished_offset_or_the_one_after_the_last(self) -> None:
        expected = min(self.unfinished) if self.unfinished else self.next_offset
        assert self.tracker.position == expected

    @invariant()
    def position_never_goes_back(self) -> None:
        assert self.tracker.position >= self.highest_position
        self.highest_position = self.tracker.position

    @invariant()
    def books_are_right(self) -> None:
        assert self.tracker.next_offset == self.next_offset
        assert self.tracker.unfinished == len(self.unfinished)


TestOffsetTracker = TrackerMachine.TestCase


@given(
    start=st.integers(0, 2**62), gaps=st.lists(GAPS, min_size=1, max_size=50), order=st.randoms()
)
def test_position_is_after_the_last_once_all_are_finished_in_any_order(start, gaps, order) -> None:
    tracker = OffsetTracker(start)
    offsets = []
    for gap in gaps:
        offsets.append(tracker.next_offset + gap)
        tracker.deliver(offsets[-1])
    last = offsets[-1]
    order.shuffle(offsets)

    for offset in offsets:
        assert tracker.position <= offset
        tracker.finish(offset)

    assert tracker.position == last + 1


def test_nothing_delivered_leaves_the_position_at_the_start() -> None:
    assert OffsetTracker(7).position == 7


def test_hole_before_the_first_record_is_skipped_with_it() -> None:
    tracker = OffsetTracker(0)
    tracker.deliver(5)

    assert tracker.position == 5

    tracker.finish(5)
    assert tracker.position == 6


def test_record_below_the_start_was_read_before() -> None:
    tracker = OffsetTracker(3)

    assert not tracker.deliver(2)
    assert tracker.unfinished == 0


def test_finished_twice_is_remembered_no_longer() -> None:
    tracker = OffsetTracker(0)
    for offset in range(100):
        tracker.deliver(offset)
        tracker.finish(offset)
        tracker.finish(offset)

    assert tracker.unfinished == 0
    assert not tracker._unfinished
