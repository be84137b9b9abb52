"""Requests wait under their correlation id, and each ends once."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.client.counts import Outcome, RequestCounts
from kafka_patterns.client.pending import FutureSlot, PendingRequests, ReplySlot, StreamSlot
from kafka_patterns.client.reply import Reply, StreamOrder
from kafka_patterns.errors import (
    ClientClosed,
    RequestTimeout,
    TooManyPendingRequests,
    TooManyUnreadReplies,
)
from kafka_patterns.message import Record, TopicPartition

ZERO = TopicPartition("t.reply", 0)
ONE = TopicPartition("t.reply", 1)


def reply(value: bytes | None = b"x", *, last: bool = True) -> Reply:
    return Reply(Record(*ZERO, 0, 0, None, value, []), last=last)


class PendingMachine(RuleBasedStateMachine):
    """Requests come and go; the model is a plain dictionary."""

    LIMIT = 4

    @initialize()
    def start(self) -> None:
        self.idle: list[TopicPartition] = []
        self.pending = PendingRequests(self.LIMIT, self.idle.append)
        self.model: dict[bytes, ReplySlot] = {}
        self.count = 0

    @rule(partition=st.sampled_from([ZERO, ONE]))
    def add(self, partition: TopicPartition) -> None:
        self.count += 1
        correlation_id, slot = b"%d" % self.count, ReplySlot(partition)
        if len(self.model) == self.LIMIT:
            with pytest.raises(TooManyPendingRequests, match=r"^4 requests .*reply\.max_pending"):
                self.pending.add(correlation_id, slot)
        else:
            self.pending.add(correlation_id, slot)
            self.model[correlation_id] = slot

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        correlation_id = data.draw(st.sampled_from(sorted(self.model)))
        slot = self.model.pop(correlation_id)
        told = len(self.idle)

        assert self.pending.remove(correlation_id) is slot

        still_needed = any(other.partition == slot.partition for other in self.model.values())
        assert self.idle[told:] == ([] if still_needed else [slot.partition])

    @rule()
    def remove_unknown(self) -> None:
        told = len(self.idle)

        assert self.pending.remove(b"unknown") is None

        assert len(self.idle) == told

    @rule()
    def remove_all(self) -> None:
        told = len(self.idle)

        assert self.pending.remove_all() == list(self.model.values())

        assert len(self.idle) == told
        self.model.clear()

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert len(self.pending) == len(self.model)
        for correlation_id, slot in self.model.items():
            assert self.pending.get(correlation_id) is slot
        for partition in (ZERO, ONE):
            waiting = any(slot.partition == partition for slot in self.model.values())
            assert self.pending.is_waiting_on(partition) == waiting


TestPendingRequests = PendingMachine.TestCase


def test_idle_callback_may_ask_and_add() -> None:
    def idle(partition: TopicPartition) -> None:
        assert not pending.is_waiting_on(partition)
        pending.add(b"2", ReplySlot(partition))

    pending = PendingRequests(1, idle)
    pending.add(b"1", ReplySlot(ZERO))

    pending.remove(b"1")

    assert pending.is_waiting_on(ZERO)


FAILING = Reply(Record(*ZERO, 0, 0, None, None, []), error="no", last=True)


@pytest.mark.parametrize("make", [ReplySlot, StreamSlot])
@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        pytest.param(lambda slot: slot.deliver(reply()), Outcome.REPLIED, id="reply"),
        pytest.param(lambda slot: slot.deliver(FAILING), Outcome.FAILED, id="error reply"),
        pytest.param(lambda slot: slot.fail(ClientClosed("closed")), Outcome.FAILED, id="error"),
        pytest.param(lambda slot: None, Outcome.TIMED_OUT, id="nothing"),
    ],
)
def test_caller_who_is_quicker_than_the_reader_does_not_change_what_is_counted(
    make, end, outcome
) -> None:
    counts = RequestCounts()
    pending = PendingRequests(1, lambda partition: None)
    slot = make(ZERO)
    slot.ticket = counts.ticket("hero", 0.0)
    pending.add(b"1", slot)
    end(slot)

    pending.remove(b"1", Outcome.TIMED_OUT)

    assert getattr(counts.snapshot()["hero"], outcome.value) == 1


class TestReplySlot:
    def test_reply_wakes_the_caller(self) -> None:
        slot, answer = ReplySlot(ZERO), reply()

        assert slot.deliver(answer)

        assert slot.event.is_set()
        assert slot.reply is answer

    def test_first_reply_ends_the_request_though_more_follow(self) -> None:
        assert ReplySlot(ZERO).deliver(reply(last=False))

    def test_error_wakes_the_caller(self) -> None:
        slot, error = ReplySlot(ZERO), ClientClosed("closed")

        slot.fail(error)

        assert slot.event.is_set()
        assert slot.error is error

    def test_error_after_the_reply_changes_nothing(self) -> None:
        slot = ReplySlot(ZERO)
        slot.deliver(reply())

        slot.fail(ClientClosed("closed"))

        assert slot.error is None


class TestFutureSlot:
    def test_reply_is_the_result(self) -> None:
        future: Future[Reply] = Future()
        answer = reply()

        assert FutureSlot(ZERO, future).deliver(answer)

        assert future.result(0) is answer

    @pytest.mark.parametrize("end", ["reply", "error", "cancel"])
    def test_what_comes_after_the_end_changes_nothing(self, end: str) -> None:
        future: Future[Reply] = Future()
        slot, error = FutureSlot(ZERO, future), RequestTimeout("late")
        if end == "reply":
            slot.deliver(reply())
        elif end == "error":
            slot.fail(error)
        else:
            future.cancel()

        assert slot.deliver(reply(b"second"))
        slot.fail(ClientClosed("closed"))

        assert future.cancelled() == (end == "cancel")
        if end == "error":
            assert future.exception(0) is error
        if end == "reply":
            assert future.result(0).record.value == b"x"


class TestStreamSlot:
    def test_replies_queue_until_the_last(self) -> None:
        slot = StreamSlot(ZERO)
        first, last = reply(last=False), reply()

        assert not slot.deliver(first)
        assert not slot.ended
        assert slot.deliver(last)

        assert list(slot.unread) == [first, last]
        assert slot.ended

    def test_reply_after_the_last_is_dropped(self) -> None:
        slot = StreamSlot(ZERO)
        slot.deliver(reply())

        slot.deliver(reply())

        assert len(slot.unread) == 1

    def test_error_keeps_what_came_before(self) -> None:
        slot, error = StreamSlot(ZERO), ClientClosed("closed")
        slot.deliver(reply(last=False))

        slot.fail(error)

        assert slot.error is error
        assert len(slot.unread) == 1

    def test_error_after_the_last_reply_changes_nothing(self) -> None:
        slot = StreamSlot(ZERO)
        slot.deliver(reply())

        slot.fail(ClientClosed("closed"))

        assert slot.error is None

    def test_reply_past_the_bound_ends_the_stream_behind_the_unread_ones(self) -> None:
        slot = StreamSlot(ZERO, max_unread=2)

        ended = [slot.deliver(reply(last=False)) for _ in range(4)]

        assert ended == [False, False, True, True]
        assert [slot.take(0.0), slot.take(0.0)] == [reply(last=False)] * 2
        with pytest.raises(TooManyUnreadReplies, match=r"reply\.max_unread"):
            slot.take(0.0)

    def test_bound_counts_only_what_was_not_read(self) -> None:
        slot = StreamSlot(ZERO, max_unread=1)

        for _ in range(5):
            assert not slot.deliver(reply(last=False))
            assert slot.take(0.0) is not None

        with pytest.raises(TimeoutError):
            slot.take(0.0)


def item(sequence: int | None, *, last: bool = False) -> Reply:
    value = None if sequence is None else b"%d" % sequence
    return Reply(Record(*ZERO, 0, 0, None, value, []), last=last, sequence=sequence)


class TestStreamOrder:
    def read(self, *replies: Reply) -> list[bytes | None]:
        slot = StreamSlot(ZERO)
        for one in replies:
            slot.deliver(one)
        return [one.record.value for one in slot.unread]

    def test_items_of_a_request_that_was_delivered_again_are_read_once(self) -> None:
        slot = StreamSlot(ZERO)
        first = [slot.deliver(item(number)) for number in (0, 1)]

        again = [slot.deliver(item(number)) for number in (0, 1, 2)]

        assert first == [False, False]
        assert again == [None, None, False]
        assert slot.deliver(item(3, last=True))
        assert [one.record.value for one in slot.unread] == [b"0", b"1", b"2", b"3"]

    def test_item_that_comes_too_late_is_read_in_its_place(self) -> None:
        assert self.read(item(1), item(2, last=True), item(0)) == [b"0", b"1", b"2"]

    def test_stream_does_not_end_before_its_items_are_there(self) -> None:
        slot = StreamSlot(ZERO)

        assert not slot.deliver(item(1, last=True))
        assert not slot.unread
        assert slot.deliver(item(0))

    def test_repeated_item_that_is_the_last_this_time_merely_ends(self) -> None:
        slot = StreamSlot(ZERO)
        slot.deliver(item(0))

        assert slot.deliver(item(0, last=True))

        assert slot.unread[-1].is_bare_end

    def test_items_without_a_number_pass_as_they_come(self) -> None:
        assert self.read(item(None), item(None), item(None, last=True)) == [None] * 3

    def test_error_without_a_number_ends_at_once(self) -> None:
        slot = StreamSlot(ZERO)
        slot.deliver(item(1))
        error = Reply(Record(*ZERO, 0, 0, None, None, []), error="too large", last=True)

        assert slot.deliver(error)

        assert list(slot.unread) == [error]

    @given(
        count=st.integers(1, 8),
        runs=st.lists(st.integers(0, 8), max_size=3),
        shuffle=st.randoms(),
    )
    def test_every_item_is_read_once_in_order_whatever_runs_and_delays(
        self, count: int, runs: list[int], shuffle
    ) -> None:
        given_up = [item(number) for run in runs for number in range(min(run, count))]
        whole = [item(number) for number in range(count)] + [item(count, last=True)]
        replies = given_up + whole
        shuffle.shuffle(replies)
        order = StreamOrder()
        read: list[Reply] = []

        for one in replies:
            read += order.accept(one) or []

        assert [one.sequence for one in read] == [*range(count), count]
