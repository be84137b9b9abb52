"""Many processes: one client in all of them, and a server whose handlers start them."""

from __future__ import annotations

import json
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from kafka_patterns import ClientKafkaProxy
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("no_logs"),
    # Python 3.12 warns of what is tested here: threads that a fork leaves behind.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

PROCESSES = 3
QUESTIONS = 30

clients: list[ClientKafkaProxy] = []
"""The one of this process, as in a module that makes it where everybody imports it."""


def make_client(options: dict[str, Any], pattern: str) -> None:
    """Make it in this process, unless a fork has brought it along."""
    if not clients:
        clients.append(ClientKafkaProxy(options))
        clients[0].subscribe_to_response_of(pattern)


def begin(options: dict[str, Any], pattern: str) -> None:
    """Begin a process of the pool, which ends by itself if nobody else ends it."""
    signal.alarm(int(3 * PATIENCE))
    make_client(options, pattern)


def ask(pattern: str, number: int) -> Any:
    """Ask in a process of the pool."""
    return clients[0].send(pattern, number, timeout=PATIENCE)


@pytest.fixture
def pattern(peers: Peers) -> str:
    """A pattern whose server doubles numbers; one reply partition, which all must share."""
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def double(number: int) -> int:
        return 2 * number

    server.start()
    return pattern


@pytest.mark.parametrize("connected", [True, False], ids=["connected before", "made before"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_a_pool_ask_by_the_same_client(
    peers: Peers, pattern: str, method: str, connected, monkeypatch
):
    options = peers.options(reply={"mode": "direct"})
    monkeypatch.setattr(f"{__name__}.clients", [])
    make_client(options, pattern)
    peers.keep_client(clients[0])
    if connected:
        assert ask(pattern, 4) == "8"

    with ProcessPoolExecutor(
        PROCESSES,
        mp_context=multiprocessing.get_context(method),
        initializer=begin,
        initargs=(options, pattern),
    ) as pool:
        answers = list(pool.map(ask, [pattern] * QUESTIONS, range(QUESTIONS)))

    assert answers == [str(2 * number) for number in range(QUESTIONS)]
    assert ask(pattern, 5) == "10"


@pytest.mark.parametrize("connect", [True, False], ids=["connected before", "made before"])
def test_workers_of_a_prefork_server_may_fork_again(peers: Peers, start_python, connect):
    pattern = peers.topic(partitions=2, replies=1)
    server = peers.server(run={"workers": 8})

    @server.message_pattern(pattern, ordering="unordered")
    def echo(payload: str) -> dict[str, str]:
        return {"got": payload}

    given = {
        "options": peers.options(reply={"mode": "direct"}),
        "pattern": pattern,
        "workers": 4,
        "connect": connect,
    }
    with server:
        supervisor = start_python(
            "-m", "tests.integration.programs.prefork", json.dumps(given), name="supervisor"
        )
        assert supervisor.wait(3 * PATIENCE) == 0, supervisor.report()


def test_pool_that_a_handler_started_can_be_terminated(peers: Peers, wire: Wire, start_python):
    topic = peers.topic()
    given = {"options": peers.options(), "topic": topic}
    process = start_python("-m", "tests.integration.programs.pool", json.dumps(given))
    process.wait_for_line("^status connected$", PATIENCE)

    wire.produce(topic, b"work")

    process.wait_for_line("^terminated$", PATIENCE)
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert process.lines[-1] == "drained"
