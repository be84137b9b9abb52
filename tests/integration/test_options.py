"""Options: one mapping for both sides, checked whole, and felt on the wire."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from kafka_patterns import (
    ClientKafkaProxy,
    ConfigurationError,
    KafkaOptions,
    ServerKafka,
    TransportError,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.waiting import eventually


def serve(server, pattern):
    server.message_pattern(pattern)(lambda payload: payload)
    return server


def all_sections(peers: Peers):
    """A mapping with every section, as one program may hold it for both its sides."""
    return peers.options(
        client={"connection_timeout_ms": 15_000, "request_timeout_ms": 20_000},
        run={"auto_commit_interval_ms": 20, "workers": 2, "max_in_flight": 10},
        subscribe={"from_beginning": True},
        producer={"linger_ms": 1, "retries": 3},
        send={"acks": "all", "timeout_ms": 10_000, "compression": "gzip"},
        reply={"mode": "group", "timeout_ms": 15_000, "max_pending": 100},
        producer_only_mode=False,
        postfix_id="-both",
    )


def test_one_mapping_serves_client_and_server_and_is_never_changed(peers: Peers):
    pattern = peers.topic(replies=1)
    options = all_sections(peers)
    before = copy.deepcopy(options)
    server = serve(peers.keep_server(ServerKafka(options)), pattern)
    client = peers.keep_client(ClientKafkaProxy({**options, "postfix_id": "-client"}))
    client.subscribe_to_response_of(pattern)

    with server, client:
        assert client.send(pattern, {"id": 1}) == {"id": 1}
        producer, member, fetcher = server.unwrap()

    assert options == before
    assert producer.config["client_id"] == "hero-both"
    assert producer.config["linger_ms"] == 1
    assert producer.config["retries"] == 3
    assert producer.config["acks"] in (-1, "all")
    assert producer.config["compression_type"] == "gzip"
    tuning = peers.broker.consumer_tuning
    assert member.config["session_timeout_ms"] == tuning["session_timeout_ms"]
    assert member.config["heartbeat_interval_ms"] == tuning["heartbeat_interval_ms"]
    assert fetcher.config["request_timeout_ms"] == 20_000


def test_options_object_serves_client_and_server(peers: Peers):
    pattern = peers.topic(replies=1)
    options = KafkaOptions.of(peers.options())
    server = serve(peers.keep_server(ServerKafka(options)), pattern)
    client = peers.keep_client(ClientKafkaProxy(options))
    client.subscribe_to_response_of(pattern)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"

    assert client.options is server.options is options


def test_names_of_kafkajs_are_aliases(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    tuning = peers.broker.consumer_tuning
    options = {
        "client": {
            "clientId": "hero",
            "brokers": peers.broker.bootstrap_servers,
            "connectionTimeout": 15_000,
            "requestTimeout": 20_000,
        },
        "consumer": {
            "groupId": peers.group,
            "sessionTimeout": tuning["session_timeout_ms"],
            "heartbeatInterval": tuning["heartbeat_interval_ms"],
            "maxWaitTimeInMs": tuning.get("fetch_max_wait_ms", 500),
            "maxBytesPerPartition": 500_000,
        },
        "run": {"autoCommit": True, "autoCommitInterval": 20, "partitionsConsumedConcurrently": 3},
        "subscribe": {"fromBeginning": True},
        "send": {"acks": -1, "timeout": 10_000, "compression": 1},
        "producerOnlyMode": False,
        "postfixId": "-nest",
    }
    wire.produce(pattern, b"before the server")
    server = peers.keep_server(ServerKafka(options))
    seen = collect_events(server, pattern)

    with server:
        eventually(lambda: wire.committed(f"{peers.group}-nest", pattern) == {0: 1})
        producer, member, fetcher = server.unwrap()

    assert seen == ["before the server"]
    assert server.options == KafkaOptions.of(
        peers.options(
            client={"connection_timeout_ms": 15_000, "request_timeout_ms": 20_000},
            consumer={
                "fetch_max_wait_ms": tuning.get("fetch_max_wait_ms", 500),
                "max_partition_fetch_bytes": 500_000,
            },
            run={"auto_commit": True, "auto_commit_interval_ms": 20, "workers": 3},
            subscribe={"from_beginning": True},
            send={"acks": "all", "timeout_ms": 10_000, "compression": "gzip"},
            producer_only_mode=False,
            postfix_id="-nest",
        )
    )
    assert producer.config["compression_type"] == "gzip"
    assert member.config["group_id"] == f"{peers.group}-nest"
    assert fetcher.config["max_partition_fetch_bytes"] == 500_000


def test_options_come_from_the_environment(peers: Peers):
    pattern = peers.topic(replies=1)
    environ = {
        "HERO_CLIENT_BROKERS": ",".join(peers.broker.bootstrap_servers),
        "HERO_CLIENT_CLIENT_ID": "hero-of-the-environment",
        "HERO_CONSUMER_GROUP_ID": peers.group,
        "HERO_RUN_WORKERS": "3",
        "HERO_SUBSCRIBE_FROM_BEGINNING": "true",
        "SOMETHING_ELSE": "ignored",
    }
    for name, value in peers.broker.consumer_tuning.items():
        environ[f"HERO_CONSUMER_{name.upper()}"] = str(value)

    options = KafkaOptions.from_env("HERO_", environ)
    server = serve(peers.keep_server(ServerKafka(options)), pattern)
    client = peers.keep_client(ClientKafkaProxy(options))
    client.subscribe_to_response_of(pattern)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        assert client.unwrap()[0].config["client_id"] == "hero-of-the-environment-client"
    assert options.run.workers == 3
    assert options.subscribe.from_beginning is True


WRONG = [
    ({"consumer": {"session_timout_ms": 1}}, r"consumer\.session_timout_ms.*session_timeout_ms"),
    ({"cosumer": {}}, r"cosumer.*consumer"),
    ({"consumer": {"groupID": "hero"}}, r"consumer\.groupID.*group_id"),
    ({"run": {"workers": "many"}}, r"run\.workers.*'many'"),
    ({"run": {"workers": True}}, r"run\.workers"),
    ({"client": {"brokers": []}}, r"client\.brokers"),
    ({"client": {"brokers": ["localhost"]}}, r"client\.brokers.*localhost"),
    ({"subscribe": {"from_beginning": "yes"}}, r"subscribe\.from_beginning.*'yes'"),
    ({"reply": {"mode": "grup"}}, r"reply\.mode.*'grup'"),
    ({"consumer": {"isolation_level": "read_committed"}}, r"consumer\.isolation_level.*cannot"),
    ({"producer": {"idempotent": True}}, r"producer\.idempotent.*idempotent"),
    ({"bootstrap_servers": ["localhost:1"]}, r"bootstrap_servers.*client\.brokers"),
]


@pytest.mark.parametrize(("options", "told"), WRONG, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("side", [ClientKafkaProxy, ServerKafka])
def test_wrong_option_is_refused_by_its_path_on_both_sides(side, options, told):
    with pytest.raises(ConfigurationError, match=told):
        side(options)


def test_everything_wrong_is_told_at_once():
    wrong = {"consumer": {"gruop_id": "x"}, "run": {"workers": 0}, "sned": {}}

    with pytest.raises(ConfigurationError) as refusal:
        ClientKafkaProxy(wrong)

    for path in ("consumer.gruop_id", "run.workers", "sned"):
        assert path in str(refusal.value)


def test_native_settings_reach_the_objects_of_kafka_python(peers: Peers):
    pattern = peers.topic(replies=1)
    native: dict[str, Any] = {
        "client": {"native": {"send_buffer_bytes": 70_000}},
        "consumer": {"native": {"check_crcs": False}},
        "producer": {"native": {"max_request_size": 2_000_000}},
    }
    server = serve(peers.server(**native), pattern)
    client = peers.client(pattern, **native)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        for peer in (server, client):
            producer, member, fetcher = peer.unwrap()
            parts = (producer, member, fetcher)
            assert [part.config["send_buffer_bytes"] for part in parts] == [70_000] * 3
            assert [part.config["check_crcs"] for part in (member, fetcher)] == [False] * 2
            assert producer.config["max_request_size"] == 2_000_000


WRONG_NATIVE = [
    ("client", "sen_buffer_bytes", "client.native.sen_buffer_bytes.*'send_buffer_bytes'"),
    ("consumer", "chek_crcs", "consumer.native.chek_crcs.*'check_crcs'"),
    ("producer", "linger", "producer.native.linger.*'linger_ms'"),
    ("consumer", "group_id", "consumer.native.group_id is set by the library"),
]


@pytest.mark.parametrize(("section", "name", "told"), WRONG_NATIVE)
def test_native_setting_that_kafka_python_does_not_know_is_refused(
    peers: Peers, section, name, told
):
    topic = peers.topic(replies=1)
    wrong: dict[str, Any] = {section: {"native": {name: 1}}}

    with pytest.raises(ConfigurationError, match=told):
        peers.client(topic, **wrong).connect()
    with pytest.raises(ConfigurationError, match=told):
        serve(peers.server(**wrong), topic).start()


def test_secrets_are_hidden(peers: Peers):
    secret = "swordfish"
    client = peers.client(
        client={
            "ssl": {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_password": secret},
            "sasl": {"mechanism": "plain", "username": "hero", "password": secret},
            "native": {"sasl_kerberos_service_name": "kafka", "ssl_password": secret},
        }
    )

    assert secret not in repr(client.options)
    assert "hero" in repr(client.options)
    sasl = client.options.client.sasl
    assert sasl is not None
    assert sasl.password == secret


@pytest.mark.parametrize(
    "security",
    [{"ssl": True}, {"sasl": {"mechanism": "plain", "username": "hero", "password": "swordfish"}}],
    ids=["ssl", "sasl"],
)
def test_security_is_asked_of_the_broker(peers: Peers, security):
    """The broker of these tests offers none, so a connection that asks for it fails."""
    client = peers.client(client={"connection_timeout_ms": 700, **security})

    with pytest.raises(TransportError) as failure:
        client.connect()

    assert peers.broker.bootstrap_servers[0] in str(failure.value)
    assert "swordfish" not in str(failure.value)


def test_number_of_workers_bounds_what_runs_at_once(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=1)
    server = peers.server(run={"workers": 2})
    running = []

    @server.message_pattern(pattern)
    def wait(payload):
        running.append(payload)
        assert gate.wait(PATIENCE)

    with server, peers.client(pattern) as client:
        futures = [client.send_future(pattern, n, timeout=PATIENCE) for n in range(5)]
        eventually(lambda: len(running) == 2)
        client.emit(peers.topic(), "a round trip later")
        assert len(running) == 2
        gate.set()
        for future in futures:
            future.result(PATIENCE)

    assert sorted(running) == ["0", "1", "2", "3", "4"]


def test_from_beginning_reads_what_was_there_before_the_group(peers: Peers, wire: Wire):
    topic = peers.topic()
    for number in range(3):
        wire.produce(topic, b"%d" % number)
    server = peers.server(subscribe={"from_beginning": True})
    seen = collect_events(server, topic)

    with server:
        eventually(lambda: seen == ["0", "1", "2"])


@pytest.mark.parametrize("most", [1, 2])
def test_little_room_in_flight_loses_nothing(peers: Peers, wire: Wire, most):
    topic = peers.topic(partitions=2)
    server = peers.server(run={"max_in_flight": most})
    seen = collect_events(server, topic)

    with server:
        for number in range(100):
            wire.produce(topic, b"%d" % number, partition=number % 2)
        eventually(lambda: len(seen) == 100, PATIENCE)

    assert [int(event) for event in seen if int(event) % 2] == list(range(1, 100, 2))
    assert [int(event) for event in seen if not int(event) % 2] == list(range(0, 100, 2))
