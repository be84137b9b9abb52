"""Flushing and closing a producer, also when the broker is gone."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from kafka.producer import kafka as base

from kafka_patterns.testing import ApiKey
from tests.support.waiting import eventually
from tests.transport.error_codes import TOPIC_NOT_AUTHORIZED
from tests.transport.parts import TIMEOUT, Parts, encoded, failure, sent


class TestFlushAndClose:
    def test_flush_waits_for_what_was_sent(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        own_broker.set_round_trip_time(0.1)
        futures = [producer.send("hero", encoded(b"x"), timeout=TIMEOUT) for _ in range(10)]

        assert producer.flush(10)

        assert all(future.done() for future in futures)

    @pytest.mark.parametrize("fails", [False, True])
    def test_flush_waits_for_callbacks(self, own, own_broker, fails) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        wakes, may_end, ended = threading.Event(), threading.Event(), threading.Event()

        def slow(_: object) -> None:
            wakes.set()
            may_end.wait(30)
            ended.set()

        if fails:
            own_broker.push_request_errors(ApiKey.PRODUCE, TOPIC_NOT_AUTHORIZED)
        future = producer.send("hero", encoded(b"y"), timeout=TIMEOUT)
        future.add_done_callback(slow)
        assert wakes.wait(30)
        assert future.done()

        assert not producer.flush(0.1)
        assert not ended.is_set()
        threading.Timer(0.1, may_end.set).start()
        assert producer.flush(30)
        assert ended.is_set()

    def test_flush_does_not_wait_for_what_was_cancelled(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        own_broker.freeze()
        assert producer.send("hero", encoded(b"y"), timeout=TIMEOUT).cancel()

        assert producer.flush(0.1)

    def test_flush_gives_up_after_its_timeout(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        own_broker.freeze()
        producer.send("hero", encoded(b"y"), timeout=TIMEOUT)

        started = time.monotonic()
        assert not producer.flush(0.2)

        assert time.monotonic() - started < 8

    def test_close_sends_what_is_left(self, parts, topic) -> None:
        name = topic()
        producer = parts.producer(producer={"linger_ms": 200})
        futures = [producer.send(name, encoded(b"x"), timeout=TIMEOUT) for _ in range(10)]

        producer.close(10)

        assert [future.result(0).offset for future in futures] == list(range(10))

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_close_is_bounded_when_the_broker_is_gone(self, own, own_broker, fault) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        getattr(own_broker, fault)()
        futures = [
            producer.send(name, encoded(b"y"), timeout=TIMEOUT) for name in ("hero", "unknown")
        ]

        started = time.monotonic()
        producer.close(0.3)

        assert time.monotonic() - started < 10
        assert all(failure(future, 20) for future in futures)

    def test_closed_producer_refuses_at_once(self, parts, topic) -> None:
        producer = parts.producer()
        producer.close(1)

        error = failure(producer.send(topic(), encoded(b"x"), timeout=TIMEOUT), 0)

        assert "closed" in str(error)
        assert not error.outcome_unknown

    def test_closed_producer_leaves_no_thread(self, parts, topic) -> None:
        before = set(threading.enumerate())
        producer = parts.producer()
        sent(producer, topic(), encoded(b"x"))

        producer.close(5)

        eventually(lambda: set(threading.enumerate()) <= before)

    def test_collected_producer_leaves_the_logger_of_the_base_alone(
        self, parts: Parts, topic
    ) -> None:
        producer = parts.transport().producer()
        sent(producer, topic(), encoded(b"x"))
        producer.close(5)
        gc.collect()  # the base's own producers of earlier tests replace the logger when they go
        logger = base.log

        del producer
        gc.collect()

        assert base.log is logger
