"""What the scenarios share: a broker that is well again for each of them, and the table."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reliability.callers import Callers
from tests.reliability.scale import Scale, chosen_scale
from tests.reliability.scenario import Scenario
from tests.reliability.table import CallerRow, Row, format_table
from tests.support.kafka_server import KafkaServer

LARGE = str(12_000_000)

_ROWS = pytest.StashKey[list[Row]]()
_CALLER_ROWS = pytest.StashKey[list[CallerRow]]()
_NUMBERS = itertools.count(1)
_TIMEOUT = 1_200


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.reliability)
            item.add_marker(pytest.mark.real_kafka)
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    servers, callers = config.stash.get(_ROWS, []), config.stash.get(_CALLER_ROWS, [])
    for title, lines in (
        ("reliability of servers", format_table(servers) if servers else []),
        ("reliability of clients", format_table(callers) if callers else []),
    ):
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def scale() -> Scale:
    """How large the scenarios are."""
    return chosen_scale()


@pytest.fixture(scope="session")
def shared_kafka(kafka_version: str) -> Iterator[KafkaServer]:
    """One broker for all scenarios but those that need a cluster."""
    with KafkaServer(version=kafka_version, properties={"message.max.bytes": LARGE}) as server:
        yield server


@pytest.fixture
def kafka(shared_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """The shared broker; a scenario may stop, kill or freeze it."""
    yield shared_kafka
    if shared_kafka.is_running:
        shared_kafka.resume()
    else:
        shared_kafka.start()


@pytest.fixture
def add_row(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Adds a row to the table at the end."""
    return request.config.stash.setdefault(_ROWS, []).append


@pytest.fixture
def make_scenario(tmp_path, start_python, add_row) -> Iterator[Callable[..., Scenario]]:
    """Begin the scenario of a test: ``make_scenario("name", cluster)``."""
    made: list[Scenario] = []

    def make(name: str, cluster, **arguments) -> Scenario:
        topic = topic_of(name)
        folder = tmp_path / topic
        folder.mkdir()
        scenario = Scenario(name, cluster, topic, folder, start_python, add_row, **arguments)
        made.append(scenario)
        return scenario

    yield make
    for scenario in made:
        scenario.close()


@pytest.fixture
def add_caller_row(request: pytest.FixtureRequest) -> Callable[[CallerRow], None]:
    """Adds a row to the table of clients at the end."""
    return request.config.stash.setdefault(_CALLER_ROWS, []).append


@pytest.fixture
def make_callers(start_python, add_caller_row) -> Callable[..., Callers]:
    """Begin the scenario of a test of clients: ``make_callers("name", cluster)``."""

    def make(name: str, cluster, **arguments) -> Callers:
        return Callers(name, cluster, topic_of(name), start_python, add_caller_row, **arguments)

    return make


def topic_of(scenario: str) -> str:
    """A topic of its own for each scenario, named after it."""
    return f"{re.sub('[^A-Za-z0-9]+', '-', scenario)}.{os.getpid()}-{next(_NUMBERS)}"
