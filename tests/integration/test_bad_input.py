"""Bad input gets a clear error, and nothing is lost."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import attrs
import pytest

from kafka_patterns import (
    BrokersUnavailable,
    ConfigurationError,
    KafkaStatus,
    Message,
    PayloadError,
    ReplyPayloadError,
    RpcException,
)
from tests.integration.outage import bring_back, take_away
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.kafka_node import free_port
from tests.support.waiting import eventually


def make(peers: Peers, kind, brokers, timeout_ms=500):
    """A client or a server for other brokers, and the function that connects it."""
    section = {"brokers": brokers, "connection_timeout_ms": timeout_ms}
    if kind == "client":
        client = peers.client("hero", client=section)
        return client, client.connect
    server = peers.server(client=section)
    server.message_pattern("hero")(lambda payload: payload)
    return server, server.start


both_kinds = pytest.mark.parametrize("kind", ["client", "server"])


# Brokers


@both_kinds
def test_unreachable_brokers_are_named_within_the_connection_timeout(peers: Peers, kind):
    brokers = [f"127.0.0.1:{free_port()}", f"localhost:{free_port()}"]
    peer, connect = make(peers, kind, brokers)

    started = time.monotonic()
    with pytest.raises(BrokersUnavailable) as failure:
        connect()
    waited = time.monotonic() - started

    assert 0.5 <= waited < 10
    assert "no broker answered within 0.5 s" in str(failure.value)
    assert ", ".join(brokers) in str(failure.value)
    assert peer.status.current is KafkaStatus.DISCONNECTED


@both_kinds
def test_host_that_does_not_exist_is_named(peers: Peers, kind):
    _, connect = make(peers, kind, ["nowhere.invalid:9092"])

    with pytest.raises(BrokersUnavailable, match=r"nowhere\.invalid:9092"):
        connect()


@both_kinds
@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_address_where_no_kafka_answers_is_named_within_the_timeout(peers: Peers, kind, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "{}:{}".format(*listener.getsockname())
        answering = threading.Thread(target=answer_all, args=(listener, answer))
        answering.start()
        _, connect = make(peers, kind, [address])

        started = time.monotonic()
        with pytest.raises(BrokersUnavailable, match=address):
            connect()
        assert time.monotonic() - started < 10
        listener.shutdown(socket.SHUT_RDWR)
        answering.join()


def answer_all(listener, answer):
    """Take every connection; answer with something that is not Kafka, or not at all."""
    taken = []
    try:
        while True:
            connection, _ = listener.accept()
            taken.append(connection)
            if answer is not None:
                connection.sendall(answer)
    except OSError:
        for connection in taken:
            connection.close()


@both_kinds
def test_peer_that_could_not_connect_does_so_when_the_broker_is_there(
    own_broker: TestBroker, own_peers: Peers, kind
):
    own_peers.topic()
    take_away(own_broker)
    peer, connect = make(own_peers, kind, own_broker.bootstrap_servers, timeout_ms=1000)
    with pytest.raises(BrokersUnavailable):
        connect()

    bring_back(own_broker)
    eventually(connect, PATIENCE, retry_on=BrokersUnavailable)

    assert peer.status.current is KafkaStatus.CONNECTED


def test_event_to_unreachable_brokers_says_so(peers: Peers):
    client, _ = make(peers, "client", [f"127.0.0.1:{free_port()}"])

    for act in (client.emit, client.emit_future, client.send):
        with pytest.raises(BrokersUnavailable, match=r"127\.0\.0\.1"):
            act("hero", 1)


# Names


ILLEGAL_NAMES = [
    ("", "is empty"),
    (".", "reserves it"),
    ("..", "reserves it"),
    ("hero/entered", "'/' at index 4"),
    ("hero entered", "' ' at index 4"),
    ("h\N{LATIN SMALL LETTER E WITH ACUTE}ro", "'é' at index 1"),
    ("x" * 250, "250 characters"),
    ({"cmd": "kill"}, "cannot be the name of a topic"),
]


@pytest.mark.parametrize(("name", "told"), ILLEGAL_NAMES, ids=lambda value: str(value)[:20])
def test_illegal_topic_name_is_refused_everywhere(peers: Peers, name, told):
    client, server = peers.client(), peers.server()

    for act in (
        lambda: client.subscribe_to_response_of(name),
        lambda: client.send(name, 1),
        lambda: client.send_future(name, 1),
        lambda: client.stream(name, 1),
        lambda: client.emit(name, 1),
        lambda: client.emit_future(name, 1),
        lambda: client.emit_batch(name, [1]),
        lambda: server.message_pattern(name)(lambda payload: payload),
        lambda: server.event_pattern(name)(lambda event: None),
    ):
        with pytest.raises(ConfigurationError, match=told):
            act()
    assert client.status.current is None


def test_none_as_a_pattern_is_refused_everywhere(peers: Peers):
    client, server = peers.client(), peers.server()

    for act in (
        lambda: client.subscribe_to_response_of(None),
        lambda: client.send(None, 1),
        lambda: client.stream(None, 1),
        lambda: client.emit(None, 1),
        lambda: client.emit_batch(None, [1]),
        lambda: server.message_pattern(None)(lambda payload: payload),
        lambda: server.event_pattern(None)(lambda event: None),
    ):
        with pytest.raises(ConfigurationError, match="the pattern is None"):
            act()


@pytest.mark.parametrize(
    "pattern", [True, 1.5, b"hero", object()], ids=lambda value: repr(value)[:9]
)
def test_pattern_of_another_type_is_refused(peers: Peers, pattern):
    with pytest.raises(ConfigurationError, match="a pattern is a text, an int or a mapping"):
        peers.client().emit(pattern, 1)


# Handlers


def test_handler_with_parameters_that_nothing_fills_is_refused(peers: Peers):
    def kill(payload, weapon): ...

    with pytest.raises(ConfigurationError, match="kill: parameter 'weapon' cannot be filled"):
        peers.server().message_pattern("hero")(kill)


def test_handler_with_an_unknown_annotation_is_refused(peers: Peers):
    def kill(payload: Unknown): ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"kill: an annotation cannot be resolved:.*Unk"):
        peers.server().message_pattern("hero")(kill)


def test_unknown_ordering_is_refused(peers: Peers):
    random: dict[str, Any] = {"ordering": "random"}

    with pytest.raises(ConfigurationError, match="ordering 'random' is not one of"):
        peers.server().event_pattern("hero", **random)


# Payloads


def endless():
    payload: dict[str, Any] = {}
    payload["self"] = payload
    return payload


UNWRITABLE = [
    (object(), "object"),
    ({"deep": [1, {"here": object()}]}, r"\$\.deep\[1\]\.here"),
    (endless(), "contains itself"),
    ("\ud800", "lone surrogate"),
    ({object(): 1}, "object"),
    (lambda: None, "function"),
    (Message(key=object(), value=1), "object"),
]


@pytest.mark.parametrize(("payload", "told"), UNWRITABLE, ids=range(len(UNWRITABLE)))
def test_payload_that_cannot_be_written_is_refused_and_nothing_is_sent(
    peers: Peers, wire: Wire, payload, told
):
    pattern = peers.topic(replies=1)

    with peers.client(pattern) as client:
        for act in (
            lambda: client.emit(pattern, payload),
            lambda: client.emit_future(pattern, payload),
            lambda: client.emit_batch(pattern, ["good", payload]),
            lambda: client.send(pattern, payload),
            lambda: client.send_future(pattern, payload),
            lambda: client.stream(pattern, payload),
        ):
            with pytest.raises(PayloadError, match=f"'{pattern}'.*{told}"):
                act()
        assert len(client._pending) == 0

    assert wire.ends(pattern) == {0: 0}


def test_reply_that_cannot_be_written_is_told_to_the_caller(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: {"deep": [object()]})

    refused = pytest.raises(RpcException, match=r"\$\.deep\[0\]")
    with server, peers.client(pattern) as client, refused:
        client.send(pattern, {}, timeout=PATIENCE)


@pytest.mark.parametrize("how", ["send", "emit"])
def test_none_is_a_kafka_null(peers: Peers, wire: Wire, how):
    pattern = peers.topic(replies=1)
    server = peers.server()
    seen = []

    @server.message_pattern(pattern)
    def handle(payload, context):
        seen.append((payload, context.message.value, context.message.raw_value))

    with server, peers.client(pattern) as client:
        if how == "send":
            assert client.send(pattern, None, timeout=PATIENCE) is None
        else:
            client.emit(pattern, None)
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert seen == [(None, None, None)]
    assert [(record.key, record.value) for record in wire.records(pattern)] == [(None, None)]


@attrs.frozen
class Item:
    name: str


REPLIES = [
    ({"name": 5}, Item, "name"),
    ({}, Item, "name"),
    ("text", Item, "Item"),
    (None, Item, "Item"),
    ({"name": "sword"}, list[Item], "list"),
    ("5.9", int, "int"),
    ("yes", bool, "bool"),
]


@pytest.mark.parametrize(("reply", "returns", "told"), REPLIES, ids=lambda value: str(value)[:20])
def test_reply_that_is_not_valid_for_returns_is_refused(peers: Peers, reply, returns, told):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: reply)

    with server, peers.client(pattern) as client:
        with pytest.raises(ReplyPayloadError, match=f"'{pattern}'.*{told}"):
            client.send(pattern, {}, timeout=PATIENCE, returns=returns)
        # The client goes on.
        client.send(pattern, {}, timeout=PATIENCE)


# The installation


RIVAL = """
from kafka_patterns import ClientKafkaProxy, ConfigurationError, ServerKafka

client = ClientKafkaProxy()
server = ServerKafka()
server.event_pattern("hero")(lambda event: None)
for start in (client.connect, server.start):
    try:
        start()
    except ConfigurationError as error:
        print("refused:", error, flush=True)
"""


def test_kafka_python_over_kafka_python_ng_is_refused(start_python, tmp_path):
    information = tmp_path / "kafka_python-2.0.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kafka-python\nVersion: 2.0.2\n", encoding="utf-8"
    )
    script = tmp_path / "rival.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n" + RIVAL)

    process = start_python("-c", script.read_text())

    assert process.wait() == 0
    first, second = process.lines
    assert first == second
    assert first.startswith("refused: kafka-python 2.0.2 is installed and overwrites")
    assert "pip uninstall kafka-python kafka-python-ng" in first
    assert "pip install kafka-python-ng" in first
