"""Waiting for company before a request: only where several threads send."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from kafka_patterns.message import RecordMetadata
from kafka_patterns.transport.kafka_python import batches
from kafka_patterns.transport.kafka_python.linger import linger
from kafka_patterns.transport.kafka_python.producer import KafkaProducerFace
from tests.transport.parts import TIMEOUT, encoded, sent


def pauses(senders: set[int], *arrivals: int) -> int:
    """How often ``linger`` pauses if one of *arrivals* sends in each pause."""
    coming = iter(arrivals)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        senders.update([thread for thread in [next(coming, None)] if thread is not None])

    linger(senders, sleep=sleep)
    return len(slept)


class TestPauses:
    @pytest.mark.parametrize("senders", [set(), {1}])
    def test_who_sends_alone_never_waits(self, senders) -> None:
        assert pauses(senders, 2, 3) == 0

    def test_a_crowd_waits_until_nobody_joins(self) -> None:
        assert pauses({1, 2}, 3, 4) == 3

    def test_a_thread_that_sends_again_is_not_waited_for(self) -> None:
        assert pauses({1, 2}, 2, 2) == 1

    def test_a_large_crowd_does_not_wait(self) -> None:
        assert pauses(set(range(8)), 8, 9) == 0

    def test_nobody_else_is_waited_for_once_the_crowd_is_large(self) -> None:
        assert pauses({1, 2, 3, 4, 5, 6}, 7, 8, 9, 10) == 2

    def test_a_crowd_that_grows_slowly_is_sent_all_the_same(self) -> None:
        assert pauses({1, 2}, 3, 4, 5, 6, 7, 8) == 5


class Rounds:
    """The rounds of a sending thread: how many threads each one sees, and when it begins."""

    def __init__(self) -> None:
        self.senders: list[int] = []
        self._may_begin = threading.Event()
        self._may_begin.set()
        self._held = threading.Event()

    def watched_linger(self, senders: set[int]) -> None:
        """In the place of ``linger``."""
        if not self._may_begin.is_set():
            self._held.set()
            assert self._may_begin.wait(TIMEOUT)
        self.senders.append(len(senders))
        linger(senders)

    @contextlib.contextmanager
    def held(self, producer: KafkaProducerFace) -> Iterator[None]:
        """No round begins in this block."""
        self._may_begin.clear()
        producer.unwrap()._sender.wakeup()
        assert self._held.wait(TIMEOUT)
        yield
        self._may_begin.set()


@pytest.fixture
def rounds(monkeypatch) -> Rounds:
    """Those of the producer of this test."""
    made = Rounds()
    monkeypatch.setattr(batches, "linger", made.watched_linger)
    return made


class TestSenders:
    def test_threads_count_until_their_records_go(self, own, hero, rounds) -> None:
        producer = own.producer()
        sent(producer, hero, encoded(b"first"))

        with rounds.held(producer), ThreadPoolExecutor(3) as threads:
            together = threading.Barrier(3)

            def send(number: int) -> Future[RecordMetadata]:
                together.wait(TIMEOUT)
                return producer.send(hero, encoded(b"%d" % number), timeout=TIMEOUT)

            futures = list(threads.map(send, range(3)))

        for future in futures:
            future.result(TIMEOUT)
        assert max(rounds.senders) == 3
        assert rounds.senders.count(3) == 1

    def test_many_records_of_one_thread_are_no_crowd(self, own, hero, rounds) -> None:
        producer = own.producer()
        sent(producer, hero, encoded(b"first"))

        with rounds.held(producer):
            futures = [producer.send(hero, encoded(b"x"), timeout=TIMEOUT) for _ in range(20)]

        for future in futures:
            future.result(TIMEOUT)
        assert max(rounds.senders) == 1
