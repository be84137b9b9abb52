"""The first message to a topic waits for one answer of the cluster, and for no pause before it."""

from __future__ import annotations

from tests.support.waiting import eventually
from tests.transport.parts import Parts, encoded, sent

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
