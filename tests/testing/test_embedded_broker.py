"""The embedded broker speaks Kafka's protocol, and its process never outlives its owner."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from kafka_patterns.errors import ConfigurationError, NotConnected, TransportError
from kafka_patterns.testing import DISCONNECT, ApiKey, EmbeddedBroker, embedded_tuning
from tests.support.kafka_node import free_port
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

_FIRST_BYTES_TIMEOUT = 10.0


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={"hero": 3}) as broker:
        yield broker


def produce(broker: EmbeddedBroker, *values: bytes, topic: str = "hero", partition: int = 0):
    with closing(producer(broker)) as open_producer:
        for value in values:
            open_producer.send(topic, value, partition=partition).get(timeout=30)


def producer(broker: EmbeddedBroker) -> Any:
    return KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers,
        api_version=(2, 4, 0),
        max_block_ms=1000,
        request_timeout_ms=2000,
    )


@contextmanager
def consumer(broker: EmbeddedBroker, *topics: str, **options: Any) -> Iterator[Any]:
    opened = KafkaConsumer(
        *topics,
        bootstrap_servers=broker.bootstrap_servers,
        api_version=(2, 4, 0),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **{**embedded_tuning(), **options},
    )
    try:
        yield opened
    finally:
        opened.close(autocommit=False)


def read(reader: Any, count: int) -> list[bytes]:
    values: list[bytes] = []

    def enough() -> bool:
        for records in reader.poll(50).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    eventually(enough, _FIRST_BYTES_TIMEOUT, describe=f"{count} records", retry_on=KafkaError)
    return values


@contextmanager
def polling(member: Any) -> Iterator[None]:
    """Poll in a thread; an error of the poll fails the test at the end."""
    stopped = threading.Event()

    def poll() -> None:
        while not stopped.is_set():
            member.poll(20)

    with ThreadPoolExecutor(1) as thread:
        polls = thread.submit(poll)
        try:
            yield
        finally:
            stopped.set()
            polls.result(timeout=10)


def exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


class TestRecords:
    def test_group_member_reads_what_was_produced(self, embedded):
        produce(embedded, b"dragon", b"ogre")

        with consumer(embedded, "hero", group_id="heroes") as member:
            assert read(member, 2) == [b"dragon", b"ogre"]

    def test_next_member_goes_on_after_the_commit(self, embedded):
        produce(embedded, b"dragon", b"ogre")
        with consumer(embedded, "hero", group_id="heroes", max_poll_records=1) as member:
            read(member, 1)
            member.commit()

        with consumer(embedded, "hero", group_id="heroes") as member:
            assert read(member, 1) == [b"ogre"]

    def test_members_of_a_group_divide_the_partitions(self, embedded):
        with ExitStack() as stack:
            members = [
                stack.enter_context(consumer(embedded, "hero", group_id="heroes")) for _ in range(3)
            ]
            for member in members:
                stack.enter_context(polling(member))

            eventually(
                lambda: [len(member.assignment()) for member in members] == [1, 1, 1],
                describe="each member to have one partition",
            )

            partitions = {part for member in members for part in member.assignment()}
            assert {part.partition for part in partitions} == {0, 1, 2}

    def test_records_below_a_deleted_offset_are_gone(self, embedded):
        produce(embedded, b"dragon", b"ogre", b"troll")

        embedded.delete_records("hero", 0, before_offset=2)

        with consumer(embedded) as reader:
            reader.assign([TopicPartition("hero", 0)])
            assert read(reader, 1) == [b"troll"]


class TestTopics:
    def test_topics_have_the_partitions_asked_for(self, embedded):
        embedded.create_topic("villain", partitions=5)

        with consumer(embedded) as reader:
            assert reader.partitions_for_topic("hero") == {0, 1, 2}
            assert reader.partitions_for_topic("villain") == set(range(5))

    def test_topic_that_nobody_created_gets_four_partitions(self, embedded):
        with closing(producer(embedded)) as open_producer:
            partitions = open_producer.partitions_for("auto")

        assert partitions == set(range(4))

    def test_deleted_topic_can_be_created_anew(self, embedded):
        embedded.delete_topic("hero")
        embedded.create_topic("hero", partitions=1)

        with consumer(embedded) as reader:
            assert reader.partitions_for_topic("hero") == {0}

    def test_topic_that_exists_is_refused(self, embedded):
        with pytest.raises(ConfigurationError, match=r"create topic 'hero'.*already exists"):
            embedded.create_topic("hero")

    @pytest.mark.parametrize("partitions", [0, -1])
    def test_topic_without_partitions_is_refused(self, embedded, partitions):
        with pytest.raises(ConfigurationError, match=f"'empty' needs 1 .* not {partitions}"):
            embedded.create_topic("empty", partitions)


class TestFaults:
    def test_pushed_error_meets_one_request(self, embedded):
        embedded.push_request_errors(ApiKey.PRODUCE, MessageSizeTooLargeError.errno)

        with pytest.raises(MessageSizeTooLargeError):
            produce(embedded, b"refused")

        produce(embedded, b"taken")

    def test_cleared_error_meets_no_request(self, embedded):
        embedded.push_request_errors(ApiKey.PRODUCE, MessageSizeTooLargeError.errno, DISCONNECT)

        embedded.clear_request_errors(ApiKey.PRODUCE)

        produce(embedded, b"taken")

    def test_broker_that_is_down_comes_back_with_its_records(self, embedded):
        produce(embedded, b"dragon")

        embedded.set_down()
        embedded.set_down()
        with pytest.raises(KafkaError):
            produce(embedded, b"lost")
        embedded.set_up()

        with consumer(embedded) as reader:
            reader.assign([TopicPartition("hero", 0)])
            assert read(reader, 1) == [b"dragon"]

    def test_frozen_broker_answers_again_after_the_thaw(self, embedded):
        with closing(producer(embedded)) as open_producer:
            open_producer.partitions_for("hero")
            embedded.freeze()
            with pytest.raises(KafkaTimeoutError):
                open_producer.send("hero", b"early", partition=0).get(timeout=0.3)

            embedded.thaw()

            open_producer.send("hero", b"late", partition=0).get(timeout=30)

    def test_partition_without_leader_is_told_in_the_metadata(self, embedded):
        embedded.set_partition_leader("hero", 1, None)

        with closing(KafkaAdminClient(bootstrap_servers=embedded.bootstrap_servers)) as admin:
            (described,) = admin.describe_topics(["hero"])

        leaders = {part["partition"]: part["leader"] for part in described["partitions"]}
        assert leaders == {0: 1, 1: -1, 2: 1}

    def test_coordinator_is_the_broker_set(self):
        with EmbeddedBroker(brokers=3) as cluster:
            for broker_id in (1, 2, 3):
                cluster.set_coordinator("heroes", broker_id)

                with closing(
                    KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
                ) as admin:
                    assert admin._find_coordinator_ids(["heroes"]) == {"heroes": broker_id}

    def test_answers_take_the_round_trip_time(self, embedded):
        with closing(producer(embedded)) as open_producer:
            open_producer.partitions_for("hero")
            embedded.set_round_trip_time(0.3)
            started = time.monotonic()

            open_producer.send("hero", b"slow", partition=0).get(timeout=30)

            assert time.monotonic() - started >= 0.3

    @pytest.mark.parametrize("broker_id", [0, 2, -1])
    def test_unknown_broker_is_refused(self, embedded, broker_id):
        with pytest.raises(ConfigurationError, match=f"no broker {broker_id}; the ids are 1 to 1"):
            embedded.set_down(broker_id)


class TestPort:
    def test_broker_listens_where_it_was_told(self):
        port = free_port()

        with EmbeddedBroker(topics={"hero": 1}, port=port) as broker:
            assert broker.bootstrap_servers == [f"127.0.0.1:{port}"]
            produce(broker, b"dragon")

    def test_fixed_port_stays_while_the_broker_goes_down_and_up(self):
        with EmbeddedBroker(topics={"hero": 1}, port=free_port()) as broker:
            for _ in range(3):
                broker.set_down()
                with pytest.raises(KafkaError):
                    produce(broker, b"lost")
                broker.set_up()
                produce(broker, b"kept")

    def test_port_in_use_is_named(self, embedded):
        (address,) = embedded.bootstrap_servers
        port = int(address.rpartition(":")[2])

        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} .*another port, or 0"):
            EmbeddedBroker(port=port).start()


class TestLife:
    def test_close_ends_the_process(self):
        broker = EmbeddedBroker().start()
        process_id = broker.pid

        broker.close()
        broker.close()

        assert not exists(process_id)

    def test_frozen_broker_closes_within_seconds(self):
        broker = EmbeddedBroker().start()
        broker.freeze()
        started = time.monotonic()

        broker.close()

        assert time.monotonic() - started < 20

    def test_closed_broker_says_how_to_start(self):
        broker = EmbeddedBroker()

        with pytest.raises(NotConnected, match=r"with statement, or call start\(\)"):
            broker.create_topic("hero")

    def test_broker_that_died_is_an_error_with_its_exit_code(self, embedded):
        os.kill(embedded.pid, signal.SIGKILL)

        with pytest.raises(TransportError, match="ended by itself with exit code -9"):
            embedded.create_topic("villain")

    def test_broker_that_does_not_answer_is_an_error(self, embedded, monkeypatch):
        monkeypatch.setattr("kafka_patterns.testing.embedded._COMMAND_TIMEOUT", 0.2)
        embedded.freeze()

        with pytest.raises(TransportError, match=r"did not answer within 0\.2 s"):
            embedded.create_topic("villain")

    def test_broker_ends_when_its_parent_is_killed(
        self, start_python: Callable[..., ManagedProcess]
    ):
        parent = start_python(
            "-c",
            "import signal\n"
            "from kafka_patterns.testing import EmbeddedBroker\n"
            "print('broker', EmbeddedBroker().start().pid)\n"
            "signal.pause()\n",
        )
        process_id = int(parent.wait_for_line(r"broker (\d+)")[1])
        assert exists(process_id)

        parent.kill()

        eventually(lambda: not exists(process_id), describe="the end of the broker")

    def test_forked_child_leaves_the_broker_alone(
        self, start_python: Callable[..., ManagedProcess]
    ):
        parent = start_python(
            "-c",
            "import os\n"
            "from kafka_patterns.testing import EmbeddedBroker\n"
            "with EmbeddedBroker() as broker:\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        broker.close()\n"
            "        os._exit(0)\n"
            "    os.waitpid(child, 0)\n"
            "    broker.create_topic('hero')\n"
            "    print('created')\n",
        )

        parent.wait_for_line("created")
        assert parent.wait() == 0

    def test_missing_confluent_kafka_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "confluent_kafka", None)

        with pytest.raises(ConfigurationError, match=r"pip install 'kafka-patterns\[embedded\]'"):
            EmbeddedBroker().start()

    def test_zero_brokers_are_refused(self):
        with pytest.raises(ConfigurationError, match="brokers must be 1 or more, not 0"):
            EmbeddedBroker(brokers=0)


class TestCommandLine:
    def test_prints_its_address_and_serves_until_interrupted(
        self, start_python: Callable[..., ManagedProcess]
    ):
        process = start_python(
            "-m", "kafka_patterns.testing.broker", "--topic", "hero:2", "--topic", "villain"
        )
        address = process.wait_for_line(r"^127\.0\.0\.1:\d+$")[0]

        reader = KafkaConsumer(bootstrap_servers=address, api_version=(2, 4, 0))
        with closing(reader):
            assert reader.partitions_for_topic("hero") == {0, 1}
            assert reader.partitions_for_topic("villain") == {0}

        process.interrupt()
        assert process.wait() == 0

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--topic", "hero:none"], "'none' is not a number above 0"),
            (["--topic", ":3"], "':3' has no topic name"),
            (["--port", "65536"], "'65536' is not a port"),
            (["--brokers", "0"], "'0' is not a number above 0"),
        ],
    )
    def test_wrong_argument_is_explained(self, start_python, arguments, complaint):
        process = start_python("-m", "kafka_patterns.testing.broker", *arguments)

        assert process.wait() == 2
        assert complaint in process.output
