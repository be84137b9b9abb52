"""Commits, and committed offsets, with a bound on every answer."""

from __future__ import annotations

import threading
import time

import pytest

from kafka_patterns.errors import CommitFailed, TransportError
from kafka_patterns.message import OffsetAndMetadata, TopicPartition
from kafka_patterns.testing import ApiKey
from tests.support.waiting import eventually
from tests.transport.error_codes import NOT_COORDINATOR, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER
from tests.transport.parts import HERO, Listener, polling


def elapsed_since(started: float) -> float:
    return time.monotonic() - started


class TestCommit:
    def test_committed_offset_is_the_next_one_to_read_with_its_metadata(self, own, hero) -> None:
        member = own.joined("heroes", hero)
        metadata = "m" * 4096

        member.commit_now({HERO: OffsetAndMetadata(7, metadata)}, 20)

        found = member.committed([HERO, TopicPartition(hero, 1)], 20)
        assert found == {HERO: OffsetAndMetadata(7, metadata), TopicPartition(hero, 1): None}

    def test_answer_to_a_commit_comes_in_a_later_poll(self, own, hero) -> None:
        member = own.joined("heroes", hero)
        answers: list[tuple[Exception | None, threading.Thread]] = []

        member.commit(
            {HERO: OffsetAndMetadata(7)},
            lambda error: answers.append((error, threading.current_thread())),
        )
        assert answers == []

        eventually(lambda: member.poll(0.05) or answers)
        assert answers == [(None, threading.current_thread())]
        assert member.committed([HERO], 20)[HERO] == OffsetAndMetadata(7)

    @pytest.mark.parametrize("error", [UNKNOWN_MEMBER, REBALANCE_IN_PROGRESS])
    def test_refused_commit_says_so_and_the_member_goes_on(
        self, own, own_broker, hero, error
    ) -> None:
        listener = Listener()
        member = own.joined("heroes", hero, listener=listener)
        own_broker.push_request_errors(ApiKey.OFFSET_COMMIT, error, error)
        answers: list[Exception | None] = []

        with pytest.raises(CommitFailed, match="group 'heroes'"):
            member.commit_now({HERO: OffsetAndMetadata(1)}, 20)
        member.commit({HERO: OffsetAndMetadata(1)}, answers.append)
        with polling(member):
            eventually(lambda: answers)

        assert isinstance(answers[0], CommitFailed)

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_commit_to_a_dead_coordinator_is_bounded(self, own, own_broker, hero, fault) -> None:
        member = own.joined("heroes", hero)
        getattr(own_broker, fault)()

        started = time.monotonic()
        with pytest.raises(CommitFailed):
            member.commit_now({HERO: OffsetAndMetadata(1)}, 0.3)

        assert elapsed_since(started) < 10

    def test_commit_without_waiting_tells_its_failure_when_the_coordinator_is_dead(
        self, own, own_broker, hero
    ) -> None:
        member = own.joined("heroes", hero)
        own_broker.set_down()
        answers: list[Exception | None] = []

        with polling(member):
            member.commit({HERO: OffsetAndMetadata(1)}, answers.append)
            eventually(lambda: answers)

        assert isinstance(answers[0], CommitFailed)

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_asking_a_dead_coordinator_for_offsets_is_bounded(
        self, own, own_broker, hero, fault
    ) -> None:
        member = own.joined("heroes", hero)
        getattr(own_broker, fault)()

        started = time.monotonic()
        with pytest.raises(TransportError, match=r"'heroes'.*could not be read within 0\.3 s"):
            member.committed([HERO], 0.3)

        assert elapsed_since(started) < 10

    def test_offsets_are_read_from_the_coordinator_that_took_over(self, two_brokers) -> None:
        own, broker = two_brokers
        broker.create_topic("hero")
        broker.set_coordinator("heroes", 1)
        member = own.joined("heroes", "hero")
        broker.push_request_errors(ApiKey.OFFSET_FETCH, NOT_COORDINATOR)

        broker.set_coordinator("heroes", 2)

        assert member.committed([HERO], 10) == {HERO: None}
