"""Apache Kafka starts, survives what tests do to it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from tests.support.kafka_server import KafkaCluster, KafkaServer
from tests.support.processes import EndedEarlyError
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_kafka


def produce(server: KafkaCluster, value: bytes, *, timeout: float = 20.0) -> None:
    producer = KafkaProducer(
        bootstrap_servers=server.bootstrap_servers,
        acks="all",
        retries=20,
        api_version=(2, 6, 0),
        max_block_ms=int(timeout * 1000),
    )
    try:
        producer.send("hero", value, partition=0).get(timeout)
    finally:
        producer.close(timeout=0)


@contextmanager
def member(server: KafkaCluster) -> Iterator[Any]:
    consumer = KafkaConsumer(
        "hero",
        group_id="heroes",
        bootstrap_servers=server.bootstrap_servers,
        api_version=(2, 6, 0),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    with closing(consumer):
        yield consumer


def read(consumer: Any, count: int) -> list[bytes]:
    values: list[bytes] = []

    def enough() -> bool:
        for records in consumer.poll(100).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    eventually(enough, 30, describe=f"{count} records")
    return values


def test_group_member_reads_what_was_produced(kafka_server: KafkaServer):
    kafka_server.create_topic("hero", partitions=2)
    produce(kafka_server, b"dragon")

    with member(kafka_server) as consumer:
        assert read(consumer, 1) == [b"dragon"]
        assert consumer.partitions_for_topic("hero") == {0, 1}


def test_records_survive_kill_and_restart_at_the_same_address(kafka_server: KafkaServer):
    kafka_server.create_topic("hero")
    produce(kafka_server, b"dragon")
    addresses = kafka_server.bootstrap_servers

    kafka_server.kill()
    assert not kafka_server.is_running
    kafka_server.start()
    produce(kafka_server, b"ogre")

    assert kafka_server.bootstrap_servers == addresses
    with member(kafka_server) as consumer:
        assert read(consumer, 2) == [b"dragon", b"ogre"]


def test_restart_shuts_down_in_order_and_starts_again(kafka_server: KafkaServer):
    kafka_server.create_topic("hero")
    before = kafka_server.nodes[0].process.pid

    kafka_server.restart()

    assert kafka_server.nodes[0].process.pid != before
    produce(kafka_server, b"dragon")


def test_paused_server_answers_after_it_is_resumed(kafka_server: KafkaServer):
    kafka_server.create_topic("hero")
    kafka_server.pause()
    with pytest.raises(KafkaTimeoutError):
        produce(kafka_server, b"early", timeout=0.5)

    kafka_server.resume()

    produce(kafka_server, b"late")


def test_settings_reach_the_server(kafka_version: str):
    properties = {"auto.create.topics.enable": "false"}
    with KafkaServer(version=kafka_version, properties=properties) as server:
        producer = KafkaProducer(bootstrap_servers=server.bootstrap_servers, max_block_ms=1000)
        with closing(producer), pytest.raises(KafkaTimeoutError):
            producer.send("nobody.made.this", b"dragon")


def test_wrong_setting_is_named(kafka_version: str):
    server = KafkaServer(version=kafka_version, properties={"log.retention.bytes": "many"})

    with pytest.raises(RuntimeError, match=r"Invalid value many .* log\.retention\.bytes"):
        server.start()


def test_server_that_ends_while_it_starts_fails_at_once_with_its_log(kafka_server: KafkaServer):
    second = KafkaServer(version=kafka_server.version)
    second.nodes[0].controller_port = kafka_server.nodes[0].controller_port

    with closing(second), pytest.raises(EndedEarlyError, match="Address already in use"):
        second.start()


def test_close_ends_the_process_and_deletes_the_data(kafka_version: str):
    server = KafkaServer(version=kafka_version).start()
    folder = Path(server._temporary.name)

    server.close()
    server.close()

    assert not server.is_running
    assert not folder.exists()


@pytest.mark.timeout(180)
def test_cluster_goes_on_without_one_of_its_nodes(kafka_version: str):
    with KafkaCluster(3, version=kafka_version) as cluster:
        cluster.create_topic("hero", partitions=3)
        produce(cluster, b"dragon")

        cluster.nodes[0].kill()
        produce(cluster, b"ogre")
        cluster.start()

        with member(cluster) as consumer:
            assert read(consumer, 2) == [b"dragon", b"ogre"]


def test_clients_of_the_proxy_stay_behind_it(kafka_server: KafkaServer) -> None:
    (node,) = kafka_server.nodes
    kafka_server.create_topic("hero")
    with TcpProxy(node.proxied_port, port=node.proxy_port) as proxy:
        producer = KafkaProducer(bootstrap_servers=[proxy.address], api_version=(2, 6, 0))
        try:
            producer.send("hero", b"through the proxy", partition=0).get(20)
            proxy.refuse()
            with pytest.raises(KafkaTimeoutError):
                producer.send("hero", b"not at all", partition=0).get(1)
        finally:
            producer.close(timeout=0)
