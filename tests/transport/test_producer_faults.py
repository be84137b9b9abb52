"""Sends that fail on the way: retried in order, ended in time, never lost in silence."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures

import pytest
from kafka.future import Future as KafkaFuture

from kafka_patterns.message import RecordMetadata, TopicPartition
from kafka_patterns.testing import DISCONNECT, ApiKey
from tests.support.waiting import eventually
from tests.transport.error_codes import (
    INVALID_TOPIC,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    REQUEST_TIMED_OUT,
)
from tests.transport.parts import TIMEOUT, encoded, failure, produce, read, sent, values


class TestRetries:
    @pytest.mark.parametrize("error", [NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS])
    def test_passing_failure_is_retried(self, own, own_broker, error) -> None:
        own_broker.create_topic("hero")
        own_broker.push_request_errors(ApiKey.PRODUCE, error, error)

        assert sent(own.producer(), "hero", encoded(b"x")).topic == "hero"

    def test_a_retried_batch_is_not_overtaken(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer(producer={"batch_size": 200, "retry_backoff_ms": 50})
        payloads = [b"%03d" % number for number in range(200)]
        sent(producer, "hero", encoded(b"first"))
        own_broker.push_request_errors(
            ApiKey.PRODUCE, NOT_LEADER, 0, NOT_ENOUGH_REPLICAS, NOT_LEADER, 0, 0, NOT_LEADER
        )

        produce(producer, "hero", *payloads)

        records = read(own.reader({TopicPartition("hero", 0): 0}), 201)
        assert values(records) == [b"first", *payloads]

    def test_connection_lost_in_the_middle_is_retried(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"first"))
        own_broker.push_request_errors(ApiKey.PRODUCE, DISCONNECT)

        sent(producer, "hero", encoded(b"second"))

        records = read(own.reader({TopicPartition("hero", 0): 0}), 2)
        assert set(values(records)) == {b"first", b"second"}

    def test_refusal_for_good_is_not_retried(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        own_broker.push_request_errors(ApiKey.PRODUCE, INVALID_TOPIC)

        error = failure(producer.send("hero", encoded(b"x"), timeout=TIMEOUT))

        assert not error.retriable
        assert not error.outcome_unknown
        assert sent(producer, "hero", encoded(b"y")).offset == 0

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_send_ends_within_its_time_when_the_broker_is_gone(
        self, own, own_broker, fault
    ) -> None:
        own_broker.create_topic("hero")
        producer = own.producer(send={"timeout_ms": 1_000})
        sent(producer, "hero", encoded(b"x"))
        getattr(own_broker, fault)()

        started = time.monotonic()
        failure(producer.send("hero", encoded(b"y"), timeout=1), 20)

        assert time.monotonic() - started < 15

    def test_outcome_is_unknown_once_the_message_was_on_its_way(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer(send={"timeout_ms": 1_000})
        sent(producer, "hero", encoded(b"x"))
        own_broker.freeze()

        error = failure(producer.send("hero", encoded(b"y"), timeout=1))

        assert error.outcome_unknown
        assert error.retriable

    def test_messages_go_through_after_the_broker_is_back(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        own_broker.set_down()
        future = producer.send("hero", encoded(b"y"), timeout=TIMEOUT)

        own_broker.set_up()

        assert future.result(30).topic == "hero"


class TestCallbacks:
    def test_callback_added_while_the_future_completes_is_called(self, parts, topic) -> None:
        class CompletedMeanwhile(KafkaFuture):  # type: ignore[misc]  # the base has no types
            """Completes between the base's question whether it is done and its append."""

            _produce_future = None

            def add_callback(self, function, *args, **kwargs):
                self.complete()
                self._callbacks.append(function)
                return self

            def add_errback(self, function, *args, **kwargs):
                self._errbacks.append(function)
                return self

            def complete(self) -> None:
                self.success(RecordMetadata(name, 0, 7, 1))

        class FailedMeanwhile(CompletedMeanwhile):
            def complete(self) -> None:
                self.failure(OSError("gone"))

        name = topic()
        producer = parts.producer()
        sent(producer, name, encoded(b"x"))

        producer.unwrap().append = lambda *_: CompletedMeanwhile()
        assert sent(producer, name, encoded(b"x")).offset == 7

        producer.unwrap().append = lambda *_: FailedMeanwhile()
        assert "OSError: gone" in str(failure(producer.send(name, encoded(b"x"), timeout=1)))

    def test_every_future_of_many_threads_ends(self, parts, topic) -> None:
        name = topic(partitions=3)
        producer = parts.producer()
        futures: list[Future[RecordMetadata]] = []

        def send() -> None:
            futures.extend(
                producer.send(name, encoded(b"%d" % number), timeout=TIMEOUT)
                for number in range(200)
            )

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        done, not_done = wait_for_futures(futures, 40)
        assert not not_done
        places = {future.result()[:3] for future in done}
        assert len(places) == 800

    def test_cancelled_future_harms_nothing(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        own_broker.set_round_trip_time(0.2)

        future = producer.send("hero", encoded(b"y"), timeout=TIMEOUT)

        assert future.cancel()
        own_broker.set_round_trip_time(0)
        assert sent(producer, "hero", encoded(b"z")).offset == 2


def test_callback_of_an_expired_message_may_send_another_one(own, own_broker, hero) -> None:
    producer = own.producer(send={"timeout_ms": 3_000})
    produce(producer, hero, b"first")
    own_broker.set_down()
    again: list[Future[RecordMetadata]] = []
    expired = producer.send(hero, encoded(b"second", partition=0), timeout=TIMEOUT)
    expired.add_done_callback(
        lambda _: again.append(producer.send(hero, encoded(b"third", partition=0), timeout=TIMEOUT))
    )

    error = failure(expired)
    own_broker.set_up()

    assert error.retriable
    assert eventually(lambda: again)[0].result(TIMEOUT).partition == 0
