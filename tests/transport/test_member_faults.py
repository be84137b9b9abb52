"""A member whose broker is gone: nothing hangs, and it comes back by itself."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from kafka_patterns.errors import TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.testing import ApiKey
from kafka_patterns.transport.base import Interrupted
from tests.support.waiting import eventually
from tests.transport.error_codes import REBALANCE_IN_PROGRESS
from tests.transport.parts import HERO, Listener, polling


def elapsed_since(started: float) -> float:
    return time.monotonic() - started


class TestBrokerIsGone:
    def test_poll_of_a_member_is_bounded_when_the_broker_is_gone(
        self, own, own_broker, hero
    ) -> None:
        member = own.joined("heroes", hero)

        own_broker.set_down()

        failures = 0
        for _ in range(20):
            started = time.monotonic()
            try:
                member.poll(0.1)
            except TransportError:
                failures += 1
            assert elapsed_since(started) < 10
        assert failures > 5

    def test_poll_is_bounded_when_the_coordinator_hangs(self, own, own_broker, hero) -> None:
        member = own.joined("heroes", hero)

        own_broker.freeze()

        for _ in range(10):
            started = time.monotonic()
            try:
                member.poll(0.1)
            except TransportError:
                pass
            assert elapsed_since(started) < 10

    def test_member_is_back_after_the_broker_is(self, own, own_broker, hero) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        with polling(member) as errors:
            own_broker.set_down()
            eventually(lambda: errors)

            own_broker.set_up()

            eventually(lambda: member.seconds_since_contact < 0.5 and not member.rejoin_needed)
            member_is_in = listener.partitions
        assert member_is_in == [HERO, TopicPartition(hero, 1)]

    def test_silence_of_the_coordinator_is_measured(self, own, own_broker, hero) -> None:
        member = own.joined("heroes", hero)
        with polling(member):
            eventually(lambda: member.seconds_since_contact < 0.3)

            own_broker.freeze()

            eventually(lambda: member.seconds_since_contact > 0.8)

    def test_contact_is_as_old_as_the_heartbeat_that_was_answered(
        self, own, own_broker, hero
    ) -> None:
        member = own.joined("heroes", hero)
        round_trip = 0.4
        ages: list[float] = []

        def is_renewed() -> bool:
            ages.append(member.seconds_since_contact)
            return sum(later < earlier for earlier, later in pairwise(ages)) >= 2

        own_broker.set_round_trip_time(round_trip)
        with polling(member):
            # Given that answers to what was sent without the delay are through.
            eventually(lambda: member.seconds_since_contact > round_trip)
            eventually(is_renewed)

        assert min(ages) >= round_trip

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_close_is_bounded_when_the_broker_is_gone(self, own, own_broker, hero, fault) -> None:
        member = own.joined("heroes", hero)
        getattr(own_broker, fault)()

        started = time.monotonic()
        member.close(0.3)

        assert elapsed_since(started) < 10

    def test_interrupt_breaks_off_a_hung_poll(self, own, own_broker, hero) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        with ThreadPoolExecutor(1) as thread:
            own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)
            eventually(lambda: member.rejoin_needed)
            own_broker.freeze()
            before = len(listener.revoked)
            joining = thread.submit(member.poll, 0.1)
            eventually(lambda: len(listener.revoked) > before, describe=lambda: f"{vars(listener)}")

            member.interrupt()

            with pytest.raises(Interrupted):
                joining.result(20)
        with pytest.raises(Interrupted):
            member.poll(0)

    def test_broker_that_dies_during_a_join_ends_the_poll(self, own, own_broker, hero) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)
        eventually(lambda: member.rejoin_needed)
        own_broker.set_round_trip_time(5)
        with ThreadPoolExecutor(1) as thread:
            before = len(listener.revoked)
            joining = thread.submit(member.poll, 0.1)
            eventually(lambda: len(listener.revoked) > before, describe=lambda: f"{vars(listener)}")

            own_broker.set_down()

            with pytest.raises(TransportError):
                joining.result(20)

    def test_interrupted_member_can_be_closed(self, own, own_broker, hero) -> None:
        before = set(threading.enumerate())
        member = own.joined("heroes", hero)
        own_broker.freeze()

        member.interrupt()
        # The heartbeat thread meets the interruption too, and must end without a word.
        eventually(lambda: set(threading.enumerate()) <= before)

        started = time.monotonic()
        member.close(5)
        assert elapsed_since(started) < 10


class TestOtherThreads:
    def test_wakeup_lets_a_running_poll_return(self, own, own_broker, hero) -> None:
        member = own.joined("heroes", hero, consumer={"heartbeat_interval_ms": 1_400})
        own_broker.freeze()

        with ThreadPoolExecutor(1) as thread:
            polling_once = thread.submit(member.poll, 30)
            eventually(lambda: member.wakeup() or polling_once.done())

    def test_heartbeat_thread_leaves_the_group_without_the_network_lock(self, own, hero) -> None:
        member = own.joined("heroes", hero)
        coordinator = member.unwrap()._coordinator
        expiring, network_is_locked = threading.Event(), threading.Event()

        def expired() -> bool:
            # In the heartbeat thread, which holds the lock of the group now.
            expiring.set()
            network_is_locked.wait(30)
            return True

        coordinator.heartbeat.poll_timeout_expired = expired
        assert expiring.wait(20)
        with member.unwrap()._client._lock:
            network_is_locked.set()
            eventually(lambda: member.membership_lost)
            del coordinator.heartbeat.poll_timeout_expired

        listener_can_poll_again = member.rejoin_needed
        assert listener_can_poll_again

    def test_closed_member_leaves_no_thread(self, own, hero) -> None:
        before = set(threading.enumerate())
        member = own.joined("heroes", hero)
        assert len(set(threading.enumerate()) - before) == 1

        member.close(2)

        eventually(lambda: set(threading.enumerate()) <= before)
