"""Beginning and ending: what is under way is finished, told, or delivered again."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kafka_patterns import (
    ClientClosed,
    ClientKafkaProxy,
    ConfigurationError,
    ExitCode,
    KafkaStatus,
    ServerKafka,
)
from tests.integration.outage import take_away
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually


def echo_server(peers: Peers, pattern, gate=None, **sections):
    """A server, not started; ``"wait"`` waits at the gate, and is in ``began`` from then on."""
    server = peers.server(**sections)
    began = []

    @server.message_pattern(pattern)
    def echo(payload):
        if payload == "wait" and gate is not None:
            began.append(payload)
            assert gate.wait(PATIENCE)
        return payload

    return server, began


# The client's end


@pytest.mark.parametrize("how", ["send", "send_future", "stream"])
def test_close_ends_pending_requests_with_client_closed(peers: Peers, how):
    pattern = peers.topic(replies=1)
    client = peers.client(pattern).connect()
    sent = threading.Event()

    def wait_for_reply():
        if how == "send":
            sent.set()
            return client.send(pattern, "anybody?", timeout=PATIENCE)
        if how == "send_future":
            future = client.send_future(pattern, "anybody?", timeout=PATIENCE)
            sent.set()
            return future.result(PATIENCE)
        stream = client.stream(pattern, "anybody?", timeout=PATIENCE)
        sent.set()
        return next(stream)

    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(wait_for_reply)
        assert sent.wait(PATIENCE)
        # Until it is among the pending ones, there is nothing that close() could end.
        eventually(lambda: len(client._pending) == 1)
        started = time.monotonic()
        client.close()
        error = waiting.exception(PATIENCE)

    assert isinstance(error, ClientClosed)
    assert time.monotonic() - started < 15


def test_close_sends_what_was_emitted(peers: Peers, wire: Wire):
    topic = peers.topic()
    client = peers.client().connect()

    futures = [client.emit_future(topic, f"event-{number}") for number in range(500)]
    client.close()

    assert all(future.done() for future in futures)
    assert wire.ends(topic) == {0: 500}
    assert [future.result(0).offset for future in futures] == list(range(500))


def test_closed_client_says_so_and_connects_again_on_request(peers: Peers):
    pattern = peers.topic(replies=1)
    server, _ = echo_server(peers, pattern)

    with server, peers.client(pattern) as client:
        client.close()
        client.close()
        for act in (client.send, client.send_future, client.stream, client.emit):
            with pytest.raises(ClientClosed, match=r"connect\(\) opens it again"):
                act(pattern, "hero")

        client.connect()
        client.connect()
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"


def test_first_use_from_many_threads_connects_once(peers: Peers):
    pattern = peers.topic(replies=1)
    server, _ = echo_server(peers, pattern)
    client = peers.client(pattern)
    together = threading.Barrier(8, timeout=PATIENCE)

    def call(number):
        together.wait()
        return client.send(pattern, number, timeout=PATIENCE)

    with server, ThreadPoolExecutor(8) as executor:
        assert sorted(executor.map(call, range(8))) == [str(number) for number in range(8)]
        members = [
            t for t in threading.enumerate() if t.name == "kafka-patterns-hero-client-member"
        ]
        assert len(members) == 1


def test_close_stays_within_its_timeout_when_the_broker_is_gone(
    own_broker: TestBroker, own_peers: Peers
):
    pattern = own_peers.topic(replies=1)
    client = own_peers.client(pattern).connect()
    take_away(own_broker)
    request = client.send_future(pattern, "anybody?", timeout=PATIENCE)
    event = client.emit_future(pattern, "anybody?")

    started = time.monotonic()
    client.close(timeout=2.0)

    assert time.monotonic() - started < 12
    assert isinstance(request.exception(PATIENCE), ClientClosed)
    assert event.exception(PATIENCE) is not None


# The server's end


def test_stop_lets_handlers_finish_and_replies_go_out(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    server, began = echo_server(peers, pattern, gate)

    with server.start(), peers.client(pattern) as client, ThreadPoolExecutor(1) as executor:
        reply = client.send_future(pattern, "wait", timeout=PATIENCE)
        eventually(lambda: began)
        stopping = executor.submit(server.stop, PATIENCE)
        # Nothing is taken in any more: this request waits for the next server.
        eventually(lambda: not server_reads(server))
        later = client.send_future(pattern, "later", timeout=PATIENCE)
        assert not stopping.done()

        gate.set()

        assert reply.result(PATIENCE) == "wait"
        assert stopping.result(PATIENCE)
        assert wire.committed(server.group_id, pattern) == {0: 1}
        server.start()
        assert later.result(PATIENCE) == "later"


def server_reads(server):
    return any(t.name == "kafka-patterns-hero-server-fetcher" for t in threading.enumerate())


def test_queued_events_that_did_not_start_are_left_for_the_next_server(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic()
    first, second = peers.server(), peers.server()
    seen_by_first = []

    @first.event_pattern(topic)
    def slow(event):
        seen_by_first.append(event)
        assert gate.wait(PATIENCE)

    seen_by_second = collect_events(second, topic)

    with first, ThreadPoolExecutor(1) as executor:
        for number in range(5):
            wire.produce(topic, b"%d" % number)
        eventually(lambda: seen_by_first)
        stopping = executor.submit(first.stop, PATIENCE)
        eventually(lambda: not server_reads(first))
        gate.set()
        assert stopping.result(PATIENCE)
    assert seen_by_first == ["0"]
    with second:
        eventually(lambda: seen_by_second == ["1", "2", "3", "4"])


def test_stop_leaves_a_handler_behind_that_takes_too_long(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    server, began = echo_server(peers, pattern, gate)

    with server.start(), peers.client(pattern) as client:
        client.send_future(pattern, "wait", timeout=PATIENCE)
        eventually(lambda: began)
        started = time.monotonic()
        assert server.stop(timeout=1.0) is False
        assert time.monotonic() - started < 12
        assert wire.committed(server.group_id, pattern) == {0: 0}
        gate.set()


@pytest.mark.parametrize("busy", [False, True])
def test_stop_stays_within_its_timeout_when_the_broker_is_gone(
    own_broker: TestBroker, own_peers: Peers, gate: threading.Event, busy
):
    pattern = own_peers.topic(replies=1)
    server, began = echo_server(own_peers, pattern, gate)
    client = own_peers.client(pattern)
    server.start()
    if busy:
        client.send_future(pattern, "wait", timeout=PATIENCE)
        eventually(lambda: began)

    take_away(own_broker)
    gate.set()
    started = time.monotonic()
    server.stop(timeout=3.0)

    assert time.monotonic() - started < 15
    client.close(timeout=1.0)


def test_run_blocks_until_it_is_stopped(peers: Peers):
    pattern = peers.topic(replies=1)
    server, _ = echo_server(peers, pattern)
    returned = []
    running = threading.Thread(target=lambda: returned.append(server.run()))

    running.start()
    assert server.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)
    with peers.client(pattern) as client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
    assert running.is_alive()
    server.stop()
    running.join(PATIENCE)

    assert returned == [None]


# Starting and stopping again


@pytest.mark.parametrize("kind", ["client", "server"])
def test_starting_and_stopping_again_leaks_nothing(peers: Peers, kind):
    pattern = peers.topic(replies=1)
    server, _ = echo_server(peers, pattern)
    client = peers.client(pattern)
    steady, cycled = (server, client) if kind == "client" else (client, server)

    def cycle():
        with cycled:
            assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"

    with steady:
        cycle()
        threads, files = set(threading.enumerate()), open_files()
        for _ in range(2):
            cycle()
            eventually(lambda: set(threading.enumerate()) <= threads, describe="the threads' end")
            eventually(lambda: open_files() <= files, describe="the end of what was opened")


def open_files():
    """How many file descriptors this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a Path would open one more


def test_one_process_holds_many_clients_and_servers(peers: Peers):
    patterns = [peers.topic(replies=1) for _ in range(3)]
    servers = [peers.server(group=f"{peers.group}.{n}") for n in range(3)]
    for pattern, server in zip(patterns, servers, strict=True):
        server.message_pattern(pattern)(lambda payload, context: context.topic)
        server.start()
    clients = [peers.client(p, group=f"{peers.group}.{n}") for n, p in enumerate(patterns)]

    for _ in range(3):
        for pattern, client in zip(patterns, clients, strict=True):
            assert client.send(pattern, 1, timeout=PATIENCE) == pattern


def test_constructing_touches_neither_network_nor_threads():
    before = set(threading.enumerate()), open_files()

    client = ClientKafkaProxy({"client": {"brokers": ["nowhere.invalid:1"]}})
    client.subscribe_to_response_of("hero")
    server = ServerKafka({"client": {"brokers": ["nowhere.invalid:1"]}})
    server.message_pattern("hero")(lambda payload: payload)

    assert (set(threading.enumerate()), open_files()) == before
    client.close()
    assert server.stop()


def test_server_is_not_started_twice(peers: Peers):
    pattern = peers.topic(replies=1)
    server, _ = echo_server(peers, pattern)

    with server:
        threads = set(threading.enumerate())
        assert server.start() is server
        assert set(threading.enumerate()) == threads
        with pytest.raises(ConfigurationError):
            server.message_pattern("another")(lambda payload: payload)


# Real processes


def start_serving(peers: Peers, start_python, tmp_path, topic):
    given = {
        "options": peers.options(run={"auto_commit_interval_ms": 600_000}),
        "topic": topic,
        "notes": str(tmp_path / "notes"),
        "release": str(tmp_path / "release"),
    }
    process = start_python("-m", "tests.integration.programs.serve", json.dumps(given))
    process.wait_for_line("^status connected$", PATIENCE)
    return process


def serving_topic(peers: Peers):
    topic = peers.topic()
    peers.broker.create_topic(f"{topic}.ask")
    peers.broker.create_topic(f"{topic}.ask.reply")
    return topic


@pytest.mark.parametrize("signal", ["terminate", "interrupt"])
def test_signal_drains_a_real_process(peers: Peers, wire: Wire, start_python, tmp_path, signal):
    topic = serving_topic(peers)
    process = start_serving(peers, start_python, tmp_path, topic)

    with peers.client(f"{topic}.ask") as client:
        wire.produce(topic, b"first")
        wire.produce(topic, b"wait")
        wire.produce(topic, b"never started")
        reply = client.send_future(f"{topic}.ask", "hero", timeout=PATIENCE)
        process.wait_for_line("^waiting$")
        process.wait_for_line("^asked$")

        getattr(process, signal)()
        Path(tmp_path / "release").touch()

        assert process.wait() == 0
        assert reply.result(PATIENCE) == "hero"

    assert process.lines[-1] == "drained"
    assert "status stopped" in process.lines
    notes = (tmp_path / "notes").read_text(encoding="utf-8").splitlines()
    assert notes[:2] == ["0 0 first", "0 1 wait"]
    assert wire.committed(f"{peers.group}-server", topic) == {0: len(notes)}
    assert wire.committed(f"{peers.group}-server", f"{topic}.ask") == {0: 1}


def test_second_signal_ends_the_process_at_once(peers: Peers, wire: Wire, start_python, tmp_path):
    topic = serving_topic(peers)
    process = start_serving(peers, start_python, tmp_path, topic)
    wire.produce(topic, b"wait")
    process.wait_for_line("^waiting$")

    def terminated():
        process.terminate()
        return not process.is_running

    eventually(terminated, PATIENCE)

    assert process.wait() == 130
    assert "drained" not in process.lines
    assert wire.committed(f"{peers.group}-server", topic) == {0: 0}


def test_error_that_the_server_cannot_go_on_with_is_the_end_of_the_process(
    peers: Peers, wire: Wire, start_python, tmp_path
):
    topic = peers.topic()
    given = {
        "options": peers.options(run={"on_poison": "stop"}),
        "topic": topic,
        "notes": str(tmp_path / "notes"),
    }
    process = start_python("-m", "tests.integration.programs.serve", json.dumps(given))
    process.wait_for_line("^status connected$", PATIENCE)
    wire.produce(topic, b"\xff no text")

    assert process.wait(PATIENCE) == ExitCode.FAILED
    assert "status crashed" in process.lines
    assert process.lines[-1].startswith("kafka_patterns.errors.PayloadError")
    assert wire.committed(f"{peers.group}-server", topic) == {0: 0}


@pytest.mark.parametrize("busy", [False, True])
def test_interpreter_exits_although_nobody_closed_anything(
    peers: Peers, wire: Wire, start_python, busy
):
    pattern, events = peers.topic(replies=1), peers.topic()
    given = {
        "options": peers.options(run={"stop_timeout_ms": 2000}),
        "pattern": pattern,
        "events": events,
        "count": 300,
        "busy": busy,
    }

    process = start_python("-m", "tests.integration.programs.forget", json.dumps(given))
    process.wait_for_line("^forgotten$", PATIENCE)
    started = time.monotonic()

    assert process.wait(2 * PATIENCE) == 0
    assert time.monotonic() - started < 25
    assert "answer hero" in process.lines
    # What was emitted before the end is not dropped in silence.
    assert wire.ends(events) == {0: 300}


def test_interpreter_that_exits_says_what_could_not_be_sent(
    own_broker: TestBroker, own_peers: Peers, start_python, tmp_path
):
    events, release = own_peers.topic(), tmp_path / "release"
    given = {
        "options": own_peers.options(),
        "events": events,
        "count": 3,
        "release": str(release),
    }
    process = start_python("-m", "tests.integration.programs.strand", json.dumps(given))
    process.wait_for_line("^connected$", PATIENCE)

    take_away(own_broker)
    release.touch()
    process.wait_for_line("^stranded$", PATIENCE)
    started = time.monotonic()

    assert process.wait(2 * PATIENCE) == 0
    assert time.monotonic() - started < 25
    assert any("no broker has acknowledged 3 messages" in line for line in process.lines)
