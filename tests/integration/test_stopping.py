"""A server that is stopped where it is not idle: in a handler, in its start, in a join."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns import KafkaContext, KafkaOptions, KafkaStatus, ServerKafka
from kafka_patterns.errors import NotConnected, TransportError
from kafka_patterns.server.assignor import NO_CLAIM, StickyPolicy
from kafka_patterns.testing import EmbeddedBroker
from kafka_patterns.transport.kafka_python.member import KafkaMember
from kafka_patterns.transport.kafka_python.transport import KafkaPythonTransport
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.rerouting import rerouted
from tests.support.tcp_proxy import Faults
from tests.support.waiting import eventually
from tests.transport.parts import Listener

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("no_logs")]

AT_ONCE_SECONDS = 15.0
"""Much less than what is broken off would take."""
SLOW_GROUP = {"session_timeout_ms": 30_000, "max_poll_interval_ms": 60_000}
FROM_BEGINNING = {"from_beginning": True}
SLOW_BROKER = {"connection_timeout_ms": 60_000, "request_timeout_ms": 60_000}


# In a handler


@pytest.mark.parametrize("how", ["start", "run"])
def test_handler_that_stops_its_server_is_finished_and_committed(
    peers: Peers, wire: Wire, how: str
):
    topic = peers.topic()
    handled: list[int] = []

    def stopping_server() -> ServerKafka:
        server = peers.server(run={"auto_commit_interval_ms": 600_000}, subscribe=FROM_BEGINNING)

        @server.event_pattern(topic)
        def handle(event: str, context: KafkaContext) -> None:
            handled.append(context.message.offset)
            if event == "stop":
                assert server.stop()

        return server

    wire.produce(topic, b"first")
    wire.produce(topic, b"stop")
    server = stopping_server()
    if how == "run":
        server.run()
    else:
        server.start()
        assert server.status.wait_for(KafkaStatus.STOPPED, PATIENCE)

    assert handled == [0, 1]
    assert wire.committed(f"{peers.group}-server", topic) == {0: 2}
    wire.produce(topic, b"third")
    with stopping_server():
        eventually(lambda: len(handled) > 2, PATIENCE)
    assert handled == [0, 1, 2]


def test_request_whose_handler_stops_its_server_is_answered(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def handle(_: str) -> str:
        server.stop()
        return "good bye"

    with peers.client(pattern) as client, server:
        assert client.send(pattern, "stop", timeout=PATIENCE) == "good bye"
        assert server.status.wait_for(KafkaStatus.STOPPED, PATIENCE)


def test_all_handlers_may_stop_their_server_at_once(peers: Peers, wire: Wire):
    topic = peers.topic(partitions=4)
    server = peers.server(run={"workers": 4}, subscribe=FROM_BEGINNING)
    together = threading.Barrier(4)

    @server.event_pattern(topic)
    def handle(_: str) -> None:
        together.wait(PATIENCE)
        assert server.stop()

    for partition in range(4):
        wire.produce(topic, b"stop", partition=partition)
    server.run()

    committed = wire.committed(f"{peers.group}-server", topic)
    assert committed == dict.fromkeys(range(4), 1)


def test_what_runs_in_the_consumers_thread_may_stop_the_server(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    server.event_pattern(topic)(lambda _: None)
    server.start()

    assert server.run_on_consumer_thread(lambda _: server.stop(), PATIENCE)

    assert server.status.wait_for(KafkaStatus.STOPPED, PATIENCE)


# In its start


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A broker for this test alone, to be frozen."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def frozen(own_broker: EmbeddedBroker) -> Iterator[Peers]:
    """Peers of a broker that takes connections and answers nothing."""
    tuning = {"session_timeout_ms": 30_000}
    made = Peers(TestBroker(own_broker, is_real=False, consumer_tuning=tuning))
    made.topic("hero")
    own_broker.freeze()
    yield made
    own_broker.thaw()
    made.close()


@pytest.mark.parametrize("version", [None, "2.4.0"], ids=["probe", "pinned"])
def test_stop_ends_a_start_that_waits_for_a_broker(frozen: Peers, version: str | None):
    server = frozen.server(client={**SLOW_BROKER, "api_version": version})
    server.event_pattern("hero")(lambda _: None)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(server.start)
        eventually(lambda: server._starting is not None)

        began = time.monotonic()
        server.stop(5)

        with pytest.raises(NotConnected):
            starting.result(AT_ONCE_SECONDS)
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert server.stop()


@pytest.mark.parametrize("connections", range(5))
def test_stop_ends_a_start_whose_brokers_fall_silent(
    broker: TestBroker, peers: Peers, connections: int
):
    topic = peers.topic()
    with rerouted(broker.bootstrap_servers) as proxy, ThreadPoolExecutor(1) as thread:
        server = peers.server(client=SLOW_BROKER, consumer=SLOW_GROUP)
        server.event_pattern(topic)(lambda _: None)
        starting = thread.submit(server.start)
        # Each connection is one step further: asking for topics, joining, reading.
        eventually(lambda: len(proxy.connections) >= connections or starting.done(), PATIENCE)
        proxy.set_faults(Faults(stall_to_client=True))

        began = time.monotonic()
        server.stop(5)
        assert time.monotonic() - began < AT_ONCE_SECONDS
        error = starting.exception(AT_ONCE_SECONDS)
    assert error is None or isinstance(error, (NotConnected, TransportError))
    assert server.health().status in (KafkaStatus.STOPPED, None)


def test_signal_ends_a_start_that_waits_for_a_broker(frozen: Peers, start_python, tmp_path):
    given = {
        "options": frozen.options(client={**SLOW_BROKER, "api_version": "2.4.0"}),
        "topic": "hero",
        "notes": str(tmp_path / "notes"),
    }
    process = start_python("-m", "tests.integration.programs.serve", json.dumps(given))
    process.wait_for_line("^serving$", PATIENCE)

    began = time.monotonic()
    process.terminate()

    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert process.lines[-1] == "drained"


# In a join


@pytest.fixture
def held_group(peers: Peers) -> Iterator[tuple[str, KafkaMember]]:
    """A group with a member that does not join again: each join waits for it."""
    topic = peers.topic(partitions=2)
    options = KafkaOptions.of(peers.options(consumer=SLOW_GROUP))
    transport = KafkaPythonTransport(options, "holder")
    transport.admin().check_connection(PATIENCE)
    listener = Listener()
    holder = transport.member(
        f"{peers.group}-server", [topic], StickyPolicy(lambda: NO_CLAIM), listener
    )

    def has_joined() -> bool:
        holder.poll(0.05)
        return bool(listener.assigned)

    eventually(has_joined, retry_on=TransportError)
    yield topic, holder
    holder.close(5)


def is_joining(server: ServerKafka) -> Callable[[], bool]:
    def look() -> bool:
        engine = server._engine
        consumer = None if engine is None else engine._membership.unwrap()
        return consumer is not None and consumer._coordinator.join_future is not None

    return look


def test_stop_breaks_off_a_join_and_leaves(peers: Peers, held_group: tuple[str, KafkaMember]):
    topic, _ = held_group
    server = peers.server(consumer=SLOW_GROUP)
    server.event_pattern(topic)(lambda _: None)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(server.start)
        eventually(is_joining(server), PATIENCE)

        began = time.monotonic()
        assert server.stop(60)
        assert time.monotonic() - began < AT_ONCE_SECONDS
        with pytest.raises(NotConnected):
            starting.result(AT_ONCE_SECONDS)


def test_signal_breaks_off_a_join(
    peers: Peers, held_group: tuple[str, KafkaMember], start_python, tmp_path
):
    topic, holder = held_group
    given = {
        "options": peers.options(consumer=SLOW_GROUP, run={"stop_timeout_ms": 60_000}),
        "topic": topic,
        "notes": str(tmp_path / "notes"),
    }
    process = start_python("-m", "tests.integration.programs.serve", json.dumps(given))
    eventually(lambda: holder.rejoin_needed, PATIENCE)  # for the process wants to join

    began = time.monotonic()
    process.terminate()

    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - began < AT_ONCE_SECONDS
