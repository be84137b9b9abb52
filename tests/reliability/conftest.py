"""What the scenarios share: a broker that is well again for each of them, and the table."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reliability.scale import Scale, chosen_scale
from tests.reliability.scenario import Scenario
from tests.reliability.table import Row, format_table
from tests.support.kafka_server import KafkaServer

LARGE = str(12_000_000)

_ROWS = pytest.StashKey[list[Row]]()
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
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("reliability")
        for line in format_table(rows):
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
        topic = f"{re.sub('[^A-Za-z0-9]+', '-', name)}.{os.getpid()}-{next(_NUMBERS)}"
        folder = tmp_path / topic
        folder.mkdir()
        scenario = Scenario(name, cluster, topic, folder, start_python, add_row, **arguments)
        made.append(scenario)
        return scenario

    yield make
    for scenario in made:
        scenario.close()
