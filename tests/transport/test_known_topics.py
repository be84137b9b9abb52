"""The first message to a topic waits for one answer of the cluster, and for no pause before it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from kafka_patterns.message import RecordMetadata
from kafka_patterns.transport.kafka_python.producer import KafkaProducerFace
from tests.support.waiting import eventually
from tests.transport.error_codes import UNKNOWN_TOPIC
from tests.transport.parts import Parts, encoded, failure, sent

LONG_PAUSE = {"retry_backoff_ms": 60_000}
"""What the base waits between two questions about topics: no test is that patient."""


def test_first_messages_to_topics_that_come_one_by_one_wait_for_no_pause(
    own: Parts, own_broker
) -> None:
    producer = own.producer(producer=LONG_PAUSE)
    own_broker.create_topic("hero.first")
    sent(producer, "hero.first", encoded(b"x"))

    for number in range(10):
        own_broker.create_topic(f"hero.{number}")
        sent(producer, f"hero.{number}", encoded(b"x"))

    assert sent(producer, "hero.first", encoded(b"x")).offset == 1


def test_topic_in_use_is_not_forgotten_when_another_is_asked_for(own: Parts, own_broker) -> None:
    for name in ("hero", "villain"):
        own_broker.create_topic(name)
    producer = own.producer(producer=LONG_PAUSE)
    eventually(lambda: producer.partitions("hero"))
    own_broker.create_topic("late")

    sent(producer, "late", encoded(b"x"))

    assert producer.partitions("hero") is not None


def test_topics_to_be_learnt_are_known_together_once_they_are_asked_for(
    own: Parts, own_broker
) -> None:
    names = [f"hero.{number}.reply" for number in range(50)]
    for name in [*names, "stranger"]:
        own_broker.create_topic(name)
    producer = own.producer(producer=LONG_PAUSE)

    producer.learn(names)
    own_broker.create_topic("late")
    eventually(lambda: producer.unwrap().topics.partitions(names[0]))
    sent(producer, "late", encoded(b"x"))

    assert all(producer.unwrap().topics.partitions(name) for name in names)


def test_to_learn_topics_creates_none(own: Parts, own_broker) -> None:
    producer = own.producer()
    own_broker.create_topic("hero")

    producer.learn(["missing", "hero"])
    sent(producer, "hero", encoded(b"x"))
    admin = own.admin()

    assert set(admin.topics(10)) == {"hero"}


@contextmanager
def missing(producer: KafkaProducerFace, topic: str) -> Iterator[None]:
    """Answers say that *topic* does not exist; the embedded broker creates what it is asked for."""
    cluster = producer.unwrap()._sender._client.cluster
    take = cluster.update_metadata

    def deny(answer: Any) -> None:
        answer.topics = [
            (UNKNOWN_TOPIC, entry[1], False, []) if entry[1] == topic else entry
            for entry in answer.topics
        ]
        take(answer)

    cluster.update_metadata = deny
    try:
        yield
    finally:
        cluster.update_metadata = take


class TestMissingTopic:
    def test_messages_to_it_share_a_short_patience_and_later_ones_wait_for_one_answer(
        self, own: Parts, own_broker
    ) -> None:
        producer = own.producer()

        def send() -> Future[RecordMetadata]:
            return producer.send("nowhere", encoded(b"x"), timeout=600, missing_timeout=0.3)

        with missing(producer, "nowhere"):
            first = [send() for _ in range(100)]
            assert all(failure(future).topic_missing for future in first)
            before = producer.unwrap().topics.missing("nowhere")
            later = failure(send())
            after = producer.unwrap().topics.missing("nowhere")

        assert (later.topic_missing, later.retriable, later.outcome_unknown) == (True, False, False)
        assert before is not None
        assert after is not None
        assert after.since == before.since  # it was not waited for anew
        assert after.last > before.last  # but asked for

    def test_it_gets_what_waits_once_it_is_there(self, own: Parts, own_broker) -> None:
        producer = own.producer()
        with missing(producer, "late"):
            waiting = producer.send("late", encoded(b"x"), timeout=60, missing_timeout=60)
            eventually(lambda: producer.unwrap().topics.missing("late"))

        assert waiting.result(30).offset == 0
        assert producer.unwrap().topics.missing("late") is None

    def test_nobody_asks_for_it_once_nobody_waits_for_it(self, own: Parts, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))

        with missing(producer, "nowhere"):
            failure(producer.send("nowhere", encoded(b"x"), timeout=60, missing_timeout=0.1))

            eventually(lambda: producer.unwrap()._sender._client._topics == {"hero"})

    def test_it_is_waited_for_to_the_end_by_those_who_say_nothing_else(
        self, own: Parts, own_broker
    ) -> None:
        producer = own.producer()

        with missing(producer, "nowhere"):
            error = failure(producer.send("nowhere", encoded(b"x"), timeout=0.5))

        assert "did not become known in time" in str(error)
