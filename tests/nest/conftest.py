"""A NestJS server, a NestJS client, a Python server and a Python client that know each other.

All of them live for the whole session: each is started once, and no test leaves anything
behind in them that another test could trip over. They run on real Kafka.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns import ClientKafkaProxy, KafkaStatus, ServerKafka
from tests.nest.peers import NestClient, NestServer
from tests.nest.python_rows import PYTHON_PATTERNS, EventLog, register_rows
from tests.nest.rows import EVENT_ROWS, ROWS, TOOL_ROWS
from tests.nest.wire import Wire

READY_TIMEOUT = 60.0

Options = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def nest_broker(broker: Any) -> Any:
    """The broker of this session, which has to be Apache Kafka."""
    if not broker.is_real:
        pytest.fail("the NestJS tests need Apache Kafka: run pytest with `--broker kafka`")
    return broker


@pytest.fixture(scope="session")
def options(nest_broker: Any) -> Options:
    """Makes the options of a Python client or server from a group id."""

    def make(group_id: str) -> dict[str, Any]:
        return {
            "client": {"client_id": "python-peer", "brokers": nest_broker.bootstrap_servers},
            "consumer": {"group_id": group_id, **nest_broker.consumer_tuning},
        }

    return make


@pytest.fixture(scope="session")
def wire(nest_broker: Any) -> Iterator[Wire]:
    """Raw access to the topics."""
    wire = Wire(nest_broker.bootstrap_servers)
    yield wire
    wire.close()


def unique_prefix(who: str) -> str:
    """A start for topic names that no other session uses."""
    return f"{who}-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="session")
def nest_server(nest_broker: Any, wire: Wire) -> Iterator[NestServer]:
    """A NestJS server with every row of the table."""
    prefix = unique_prefix("nest")
    patterns = [prefix + name for name in [*(row.name for row in ROWS), *TOOL_ROWS, *EVENT_ROWS]]
    wire.create_topics([*patterns, *(f"{pattern}.reply" for pattern in patterns)])
    with NestServer(nest_broker.bootstrap_servers, f"{prefix}rows", prefix) as server:
        assert sorted(server.ready["patterns"]) == sorted(patterns)
        yield server


@pytest.fixture(scope="session")
def event_log() -> EventLog:
    """What the event handlers of ``python_server`` were given."""
    return EventLog()


@pytest.fixture(scope="session")
def python_prefix(wire: Wire) -> str:
    """The start of the topic names of ``python_server``; the topics exist."""
    prefix = unique_prefix("python")
    patterns = [prefix + name for name in PYTHON_PATTERNS]
    wire.create_topics([*patterns, *(f"{pattern}.reply" for pattern in patterns)])
    return prefix


@pytest.fixture(scope="session")
def python_server(options: Options, python_prefix: str, event_log: EventLog) -> Iterator[str]:
    """A Python server with every row that Python has; gives the prefix of its patterns."""
    server = ServerKafka(options(f"{python_prefix}rows"))
    register_rows(server, python_prefix, event_log)
    with server:
        assert server.status.wait_for(KafkaStatus.CONNECTED, READY_TIMEOUT)
        yield python_prefix


@pytest.fixture(scope="session")
def python_client(options: Options, nest_server: NestServer) -> Iterator[ClientKafkaProxy]:
    """A Python client that may call every pattern of the NestJS server."""
    client = ClientKafkaProxy(options(f"{nest_server.prefix}python"))
    for pattern in nest_server.ready["patterns"]:
        client.subscribe_to_response_of(pattern)
    with client:
        assert client.status.wait_for(KafkaStatus.CONNECTED, READY_TIMEOUT)
        yield client


@pytest.fixture(scope="session")
def nest_client(
    nest_broker: Any, nest_server: NestServer, python_prefix: str
) -> Iterator[NestClient]:
    """A NestJS client that may call both servers."""
    patterns = [python_prefix + name for name in PYTHON_PATTERNS]
    with NestClient(nest_broker.bootstrap_servers, f"{python_prefix}nest") as client:
        client.connect([*patterns, nest_server.prefix + "identity"])
        yield client
