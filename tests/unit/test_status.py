"""The status can be asked, awaited, iterated and listened to."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.status import KafkaStatus, StatusStream
from tests.support.waiting import eventually

CONNECTED, DISCONNECTED = KafkaStatus.CONNECTED, KafkaStatus.DISCONNECTED
STOPPED, REBALANCING = KafkaStatus.STOPPED, KafkaStatus.REBALANCING


class Callbacks:
    """Stands for the callback thread of a client or server."""

    def __init__(self) -> None:
        self.queue: list[Callable[[], object]] = []

    def run(self) -> None:
        while self.queue:
            self.queue.pop(0)()


@pytest.fixture
def callbacks() -> Callbacks:
    return Callbacks()


@pytest.fixture
def status(callbacks) -> StatusStream:
    return StatusStream(callbacks.queue.append)


def listening(status: StatusStream) -> bool:
    return bool(status._iterators)


class TestCurrent:
    def test_nothing_before_the_first_value(self, status) -> None:
        assert status.current is None

    def test_latest_value(self, status) -> None:
        status.set(CONNECTED)
        status.set(DISCONNECTED)

        assert status.current is DISCONNECTED

    def test_values_are_those_of_nestjs(self) -> None:
        assert [str(value) for value in KafkaStatus] == [
            "connected",
            "disconnected",
            "rebalancing",
            "crashed",
            "stopped",
        ]


class TestSubscribe:
    def test_each_change_is_told_on_the_callback_thread(self, status, callbacks) -> None:
        seen: list[KafkaStatus] = []
        status.subscribe(seen.append)

        status.set(CONNECTED)
        status.set(REBALANCING)
        assert seen == []

        callbacks.run()
        assert seen == [CONNECTED, REBALANCING]

    def test_late_subscriber_gets_the_latest_value_at_once(self, status, callbacks) -> None:
        status.set(DISCONNECTED)
        status.set(CONNECTED)
        seen: list[KafkaStatus] = []

        status.subscribe(seen.append)
        callbacks.run()

        assert seen == [CONNECTED]

    def test_same_value_again_is_not_told(self, status, callbacks) -> None:
        seen: list[KafkaStatus] = []
        status.subscribe(seen.append)

        status.set(CONNECTED)
        status.set(CONNECTED)
        callbacks.run()

        assert seen == [CONNECTED]

    @given(values=st.lists(st.sampled_from(KafkaStatus)))
    def test_no_two_values_in_a_row_are_equal(self, values) -> None:
        callbacks = Callbacks()
        stream = StatusStream(callbacks.queue.append)
        seen: list[KafkaStatus] = []
        stream.subscribe(seen.append)

        for value in values:
            stream.set(value)
        callbacks.run()

        assert all(one is not other for one, other in itertools.pairwise(seen))
        assert seen[-1:] == values[-1:]

    def test_unsubscribed_callback_hears_nothing_more(self, status, callbacks) -> None:
        seen: list[KafkaStatus] = []
        subscription = status.subscribe(seen.append)
        status.set(CONNECTED)

        subscription.unsubscribe()
        callbacks.run()
        status.set(STOPPED)
        callbacks.run()

        assert seen == []

    def test_subscription_ends_with_its_block(self, status, callbacks) -> None:
        seen: list[KafkaStatus] = []
        with status.subscribe(seen.append):
            status.set(CONNECTED)
            callbacks.run()

        status.set(STOPPED)
        callbacks.run()

        assert seen == [CONNECTED]

    def test_same_callback_twice_is_called_twice_and_unsubscribed_apart(
        self, status, callbacks
    ) -> None:
        seen: list[KafkaStatus] = []
        first = status.subscribe(seen.append)
        status.subscribe(seen.append)
        status.set(CONNECTED)
        callbacks.run()
        assert seen == [CONNECTED] * 2

        first.unsubscribe()
        status.set(STOPPED)
        callbacks.run()

        assert seen == [CONNECTED, CONNECTED, STOPPED]


class TestIteration:
    def test_begins_with_the_latest_and_ends_after_stopped(self, status) -> None:
        status.set(CONNECTED)
        with ThreadPoolExecutor(1) as thread:
            seen = thread.submit(list, status)
            eventually(lambda: listening(status))
            for value in (REBALANCING, CONNECTED, STOPPED, DISCONNECTED):
                status.set(value)

            assert seen.result(20) == [CONNECTED, REBALANCING, CONNECTED, STOPPED]
        assert not listening(status)

    def test_changes_end_when_their_time_is_over(self, status) -> None:
        status.set(CONNECTED)

        assert list(status.changes(0.01)) == [CONNECTED]

    def test_changes_since_the_iteration_began_are_not_missed_by_a_slow_reader(
        self, status
    ) -> None:
        changes = status.changes(0)
        status.set(CONNECTED)
        assert next(changes) is CONNECTED

        status.set(DISCONNECTED)
        status.set(CONNECTED)

        assert list(changes) == [DISCONNECTED, CONNECTED]


class TestWaitFor:
    def test_current_value_needs_no_wait(self, status) -> None:
        status.set(CONNECTED)

        assert status.wait_for(CONNECTED, 0)
        assert status.wait_for("connected", 0)

    def test_gives_up_after_its_timeout(self, status) -> None:
        status.set(DISCONNECTED)
        started = time.monotonic()

        assert not status.wait_for(CONNECTED, 0.05)

        assert 0.05 <= time.monotonic() - started < 15

    def test_value_that_came_and_went_counts(self, status) -> None:
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(status.wait_for, CONNECTED, 60)
            eventually(lambda: listening(status))
            status.set(CONNECTED)
            status.set(DISCONNECTED)

            assert waiting.result(20)
        assert not listening(status)

    def test_unknown_status_is_refused(self, status) -> None:
        with pytest.raises(ValueError, match="'ready' is not a valid KafkaStatus"):
            status.wait_for("ready")
