"""Sending without ever waiting in the caller, and whatever Kafka takes."""

from __future__ import annotations

import time
from concurrent.futures import wait as wait_for_futures

import attrs
import pytest

from kafka_patterns.message import TopicPartition
from kafka_patterns.testing import ApiKey
from tests.support.waiting import eventually
from tests.transport.error_codes import TOO_LARGE, UNKNOWN_TOPIC
from tests.transport.parts import TIMEOUT, encoded, failure, produce, read, sent, values


class TestMessages:
    @pytest.mark.parametrize(
        ("value", "key"), [(None, None), (b"", None), (None, b""), (b"", b""), (None, b"k")]
    )
    def test_null_key_and_null_value_can_be_sent(self, parts, topic, value, key) -> None:
        name = topic()

        metadata = sent(parts.producer(), name, encoded(value, key=key))

        (record,) = read(parts.reader({TopicPartition(name, 0): 0}), 1)
        assert (record.value, record.key) == (value, key)
        assert metadata[:3] == (name, 0, record.offset)

    def test_null_header_value_can_be_sent(self, parts, topic) -> None:
        name = topic()
        headers = [("null", None), ("empty", b""), ("twice", b"1"), ("twice", None)]

        sent(parts.producer(), name, encoded(b"v", headers=headers))

        (record,) = read(parts.reader({TopicPartition(name, 0): 0}), 1)
        assert record.headers == headers

    def test_message_leaves_only_while_it_may(self, parts, topic) -> None:
        name, may_send = topic(), True
        producer = parts.producer(may_send=lambda: may_send)
        sent(producer, name, encoded(b"first"))

        may_send = False
        futures = [producer.send(name, encoded(b"%d" % n), timeout=TIMEOUT) for n in range(3)]
        asked_for = parts.producer()
        sent(asked_for, name, encoded(b"another's"))
        assert not any(future.done() for future in futures)
        may_send = True
        assert [future.result(TIMEOUT).offset for future in futures] == [2, 3, 4]

        may_send = False
        dropped = producer.send(name, encoded(b"never"), timeout=TIMEOUT)
        producer.close(0.2)
        failure(dropped)
        may_send = True
        assert sent(asked_for, name, encoded(b"last")).offset == 5

    def test_timestamp_is_kept(self, parts, topic) -> None:
        name = topic()
        message = attrs.evolve(encoded(b"v"), timestamp=1_600_000_000_123)

        sent(parts.producer(), name, message)

        (record,) = read(parts.reader({TopicPartition(name, 0): 0}), 1)
        assert record.timestamp == 1_600_000_000_123

    @pytest.mark.parametrize("compression", [None, "gzip"])
    def test_compressed_messages_come_back(self, parts, topic, compression) -> None:
        name = topic()
        payloads = [b"%d" % number * 100 for number in range(50)]

        produce(parts.producer(send={"compression": compression}), name, *payloads)

        assert values(read(parts.reader({TopicPartition(name, 0): 0}), 50)) == payloads

    def test_a_too_large_message_fails_alone(self, parts, topic) -> None:
        name = topic()
        producer = parts.producer(producer={"max_request_size": 5_000})
        messages = [encoded(b"small"), encoded(b"x" * 6_000), encoded(b"small too")]

        futures = [producer.send(name, message, timeout=TIMEOUT) for message in messages]

        error = failure(futures[1])
        assert not error.outcome_unknown
        assert not error.retriable
        assert [futures[index].result(30).offset for index in (0, 2)] == [0, 1]

    def test_message_that_the_broker_finds_too_large_fails_for_good(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        own_broker.push_request_errors(ApiKey.PRODUCE, TOO_LARGE)
        producer = own.producer()

        error = failure(producer.send("hero", encoded(b"x"), timeout=TIMEOUT))

        assert "MessageSizeTooLargeError" in str(error)
        assert not error.outcome_unknown
        assert not error.retriable
        assert sent(producer, "hero", encoded(b"y")).offset == 0


class TestPartitions:
    def test_send_to_an_unknown_partition_is_a_clear_error(self, parts, topic) -> None:
        name = topic(partitions=3)

        error = failure(parts.producer().send(name, encoded(b"x", partition=3), timeout=TIMEOUT))

        assert str(error) == f"topic {name!r} has no partition 3 (it has 3: 0 to 2)"
        assert not error.outcome_unknown

    def test_same_key_goes_to_the_same_partition(self, parts, topic) -> None:
        name = topic(partitions=5)
        producer = parts.producer()

        placed = {
            key: {sent(producer, name, encoded(b"x", key=key)).partition for _ in range(3)}
            for key in (b"a", b"b", b"c", b"")
        }

        assert all(len(partitions) == 1 for partitions in placed.values())

    def test_messages_without_key_go_round(self, parts, topic) -> None:
        name = topic(partitions=3)
        producer = parts.producer()

        partitions = [sent(producer, name, encoded(b"x")).partition for _ in range(6)]

        assert sorted(partitions) == [0, 0, 1, 1, 2, 2]

    def test_messages_without_key_avoid_a_partition_without_leader(self, own, own_broker) -> None:
        own_broker.create_topic("hero", 2)
        own_broker.set_partition_leader("hero", 0, None)
        producer = own.producer()

        assert {sent(producer, "hero", encoded(b"x")).partition for _ in range(4)} == {1}

    def test_partitions_are_known_after_the_topic_is(self, parts, topic) -> None:
        name = topic(partitions=3)
        producer = parts.producer()
        assert producer.partitions(name) is None

        assert sorted(eventually(lambda: producer.partitions(name)) or ()) == [0, 1, 2]


class TestNeverBlocks:
    def test_send_never_blocks_on_an_unknown_topic(self, own, own_broker) -> None:
        producer = own.producer()
        sent(producer, "known", encoded(b"x"))
        own_broker.freeze()

        started = time.monotonic()
        futures = [
            producer.send("unknown", encoded(b"%d" % number), timeout=2) for number in range(100)
        ]
        assert time.monotonic() - started < 1.5

        errors = [failure(future, 20) for future in futures]
        assert "topic 'unknown' did not become known in time" in str(errors[0])
        assert not any(error.outcome_unknown for error in errors)
        assert time.monotonic() - started < 15

    def test_send_never_blocks_on_a_full_buffer(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer(producer={"buffer_memory": 4 * 16_384})
        sent(producer, "hero", encoded(b"x"))
        own_broker.freeze()

        started = time.monotonic()
        futures = [
            producer.send("hero", encoded(b"x" * 10_000), timeout=TIMEOUT) for _ in range(30)
        ]
        assert time.monotonic() - started < 5

        own_broker.thaw()
        offsets = [future.result(30).offset for future in futures]
        assert offsets == sorted(offsets)

    def test_order_is_kept_for_messages_that_waited_for_their_topic(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        payloads = [b"%d" % number for number in range(300)]
        own_broker.set_round_trip_time(0.2)
        futures = []

        for index, payload in enumerate(payloads):
            futures.append(producer.send("hero", encoded(payload), timeout=TIMEOUT))
            if index == 100:
                # From here on some find the topic known while others still wait.
                eventually(lambda: producer.unwrap().topics.partitions("hero"))
        own_broker.set_round_trip_time(0)

        assert [future.result(30).offset for future in futures] == list(range(300))
        assert values(read(own.reader({TopicPartition("hero", 0): 0}), 300)) == payloads

    def test_one_unknown_topic_keeps_no_other_waiting(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        producer = own.producer()
        sent(producer, "hero", encoded(b"x"))
        own_broker.push_request_errors(ApiKey.METADATA, *[UNKNOWN_TOPIC] * 50)

        waiting = producer.send("unknown", encoded(b"x"), timeout=2)
        assert sent(producer, "hero", encoded(b"y")).offset == 1

        wait_for_futures([waiting])
