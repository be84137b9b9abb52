"""Questions to the cluster, each with a bound."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from kafka.client_async import KafkaClient

from kafka_patterns.errors import BrokersUnavailable, ConfigurationError, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.testing import EmbeddedBroker
from kafka_patterns.transport.base import EARLIEST, LATEST
from kafka_patterns.transport.kafka_python import distribution
from tests.support.kafka_node import free_port
from tests.support.waiting import eventually
from tests.transport.parts import Parts, produce


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[KafkaClient]:
    """The network clients that asked a broker for its version."""
    probes: list[KafkaClient] = []
    check_version = KafkaClient.check_version

    def counted(client: KafkaClient, *arguments: object, **more: object) -> object:
        probes.append(client)
        return check_version(client, *arguments, **more)

    monkeypatch.setattr(KafkaClient, "check_version", counted)
    return probes


class TestConnection:
    def test_first_broker_that_answers_is_enough(self, broker) -> None:
        dead = f"127.0.0.1:{free_port()}"
        with Parts([dead, *broker.bootstrap_servers]) as parts:
            parts.admin().check_connection(10)

    @pytest.mark.parametrize("version", [None, "2.4.0"], ids=["probed", "pinned"])
    def test_unreachable_brokers_are_named_in_time(self, version) -> None:
        dead = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
        with Parts(dead, client={"api_version": version}) as parts:
            started = time.monotonic()

            with pytest.raises(BrokersUnavailable, match=f"within 0.5 s.*{dead[0]}.*{dead[1]}"):
                parts.admin().check_connection(0.5)

            assert time.monotonic() - started < 10

    def test_broker_that_comes_up_in_time_is_found(self) -> None:
        port = free_port()
        with (
            Parts([f"127.0.0.1:{port}"], client={"api_version": "2.4.0"}) as parts,
            ThreadPoolExecutor(1) as thread,
        ):
            connecting = thread.submit(parts.admin().check_connection, 20)
            with EmbeddedBroker(port=port):
                connecting.result(20)

    def test_api_version_is_probed_once_per_process(self, own_broker, probes) -> None:
        own_broker.create_topic("hero")
        with Parts(own_broker.bootstrap_servers) as first:
            first.admin().check_connection(10)
            assert len(probes) == 1

            produce(first.producer(), "hero", b"x")
            first.reader({TopicPartition("hero", 0): 0})
            first.member("heroes", "hero")
            with Parts(own_broker.bootstrap_servers) as second:
                second.admin().check_connection(10)
                produce(second.producer(), "hero", b"y")

        assert len(probes) == 1

    def test_probed_version_is_known_in_any_order_of_the_brokers(self, two_brokers, probes) -> None:
        _, cluster = two_brokers
        for brokers in (cluster.bootstrap_servers, cluster.bootstrap_servers[::-1]):
            with Parts(brokers) as parts:
                parts.admin().check_connection(10)
                parts.producer()

        assert len(probes) == 1

    def test_probed_version_is_not_that_of_another_listener(self, own_broker) -> None:
        with Parts(own_broker.bootstrap_servers) as plain:
            plain.admin().check_connection(10)
            for other in ({"ssl": True}, {"brokers": ["127.0.0.1:1"]}):
                with (
                    Parts(own_broker.bootstrap_servers, client=other) as parts,
                    pytest.raises(ConfigurationError, match="the admin checks the connection"),
                ):
                    parts.producer()

    def test_version_that_one_client_pins_is_not_taken_for_another(
        self, own_broker, probes
    ) -> None:
        with Parts(own_broker.bootstrap_servers, client={"api_version": "2.4.0"}) as pinned:
            pinned.admin().check_connection(10)
        assert probes == []

        with Parts(own_broker.bootstrap_servers) as parts:
            parts.admin().check_connection(10)

        assert len(probes) == 1

    def test_parts_without_a_known_version_ask_for_the_check_first(self) -> None:
        with Parts([f"127.0.0.1:{free_port()}"]) as parts:
            for make in (parts.reader, parts.producer):
                with pytest.raises(ConfigurationError, match="the admin checks the connection"):
                    make()


class TestPartitions:
    def test_partitions_of_a_topic(self, parts, topic) -> None:
        name = topic(partitions=3)

        assert sorted(parts.admin().partitions(name, 20) or ()) == [0, 1, 2]

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_question_is_bounded_when_the_broker_is_gone(self, own, own_broker, fault) -> None:
        admin = own.admin()
        admin.check_connection(10)
        getattr(own_broker, fault)()

        started = time.monotonic()
        with pytest.raises(TransportError):
            admin.partitions("hero", 0.3)

        assert time.monotonic() - started < 10


class TestOffsets:
    def test_first_last_and_by_time(self, parts, topic) -> None:
        name = topic(partitions=2)
        empty, full = TopicPartition(name, 1), TopicPartition(name, 0)
        produce(parts.producer(), name, b"a", b"b")
        admin = parts.admin()

        assert admin.offsets({full: EARLIEST, empty: EARLIEST}, 20) == {full: 0, empty: 0}
        assert admin.offsets({full: LATEST, empty: LATEST}, 20) == {full: 2, empty: 0}

    def test_offsets_lookup_leaves_out_a_leaderless_partition(self, own, own_broker) -> None:
        own_broker.create_topic("hero", 3)
        produce(own.producer(), "hero", b"x", partition=2)
        own_broker.set_partition_leader("hero", 1, None)
        partitions = [TopicPartition("hero", number) for number in range(3)]

        started = time.monotonic()
        found = own.admin().offsets(dict.fromkeys(partitions, LATEST), 1.5)

        assert found == {partitions[0]: 0, partitions[2]: 1}
        assert time.monotonic() - started < 10

    def test_leader_that_is_elected_in_time_answers(self, own, own_broker) -> None:
        own_broker.create_topic("hero")
        own_broker.set_partition_leader("hero", 0, None)
        partition = TopicPartition("hero", 0)
        admin = own.admin()
        with ThreadPoolExecutor(1) as thread:
            looking = thread.submit(admin.offsets, {partition: LATEST}, 20)

            own_broker.set_partition_leader("hero", 0, 1)

            assert looking.result(20) == {partition: 0}

    @pytest.mark.parametrize("fault", ["freeze", "set_down"])
    def test_lookup_finds_nothing_in_time_when_the_broker_is_gone(
        self, own, own_broker, fault
    ) -> None:
        own_broker.create_topic("hero")
        admin = own.admin()
        admin.check_connection(10)
        getattr(own_broker, fault)()

        started = time.monotonic()
        found = admin.offsets({TopicPartition("hero", 0): LATEST}, 0.3)

        assert found == {}
        assert time.monotonic() - started < 10

    def test_nothing_asked_is_nothing_found(self, parts) -> None:
        assert parts.admin().offsets({}, 20) == {}


class TestClose:
    def test_interrupt_breaks_off_a_running_question(self, own, own_broker) -> None:
        admin = own.admin()
        admin.check_connection(10)
        own_broker.freeze()
        with ThreadPoolExecutor(1) as thread:
            asking = thread.submit(admin.partitions, "hero", 30)
            eventually(admin._lock.locked)

            admin.interrupt()

            with pytest.raises(TransportError, match="the connection was closed"):
                asking.result(20)

    def test_closed_admin_answers_no_more(self, parts) -> None:
        admin = parts.admin()
        admin.check_connection(10)
        admin.close()

        with pytest.raises(TransportError, match="the connection was closed"):
            admin.partitions("hero", 1)

    def test_admin_that_was_never_asked_can_be_closed(self, parts) -> None:
        with closing(parts.admin()):
            pass


class TestDistribution:
    def test_the_right_distribution_passes(self) -> None:
        distribution.check_distribution()

    def test_kafka_python_beside_it_is_refused(self, tmp_path, monkeypatch) -> None:
        self.install(tmp_path, "kafka-python", "2.0.2")
        monkeypatch.syspath_prepend(str(tmp_path))

        with pytest.raises(
            ConfigurationError, match=r"kafka-python 2\.0\.2 .*pip uninstall kafka-python"
        ):
            distribution.check_distribution()

    def install(self, folder, name: str, version: str) -> None:
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


class TestNative:
    def test_native_settings_reach_the_base(self, own) -> None:
        reader = own.reader(consumer={"native": {"receive_buffer_bytes": 65_536}})
        producer = own.producer(producer={"native": {"max_in_flight_requests_per_connection": 1}})

        assert reader.unwrap().config["receive_buffer_bytes"] == 65_536
        assert producer.unwrap().config["max_in_flight_requests_per_connection"] == 1

    @pytest.mark.parametrize(
        ("section", "key", "complaint"),
        [
            ("client", "recieve_buffer_bytes", "did you mean 'receive_buffer_bytes'"),
            ("client", "bootstrap_servers", "is set by the library itself"),
            ("client", "fetch_min_bytes", "is not a setting"),
            ("consumer", "enable_auto_commit", "is set by the library itself"),
            ("consumer", "linger_ms", "is not a setting"),
            ("producer", "fetch_min_bytes", "is not a setting"),
        ],
    )
    def test_unknown_native_setting_is_refused(self, own, section, key, complaint) -> None:
        with pytest.raises(ConfigurationError, match=f"{section}.native.{key} .*{complaint}"):
            own.transport(**{section: {"native": {key: 1}}})


def test_answer_to_a_join_may_take_as_long_as_the_group_waits(own) -> None:
    member = own.member("heroes", "hero", consumer={"max_poll_interval_ms": 50_000})

    config = member.unwrap().config

    assert config["request_timeout_ms"] > 50_000
    assert config["connections_max_idle_ms"] > config["request_timeout_ms"]
