"""Fixtures and sentries of all tests; the broker to run against is chosen on the command line."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.backends import TestBroker, run_backend
from tests.support.kafka_distribution import KAFKA_VERSIONS, kafka_libraries
from tests.support.kafka_server import KafkaServer
from tests.support.processes import ManagedProcess, python_process
from tests.support.threads import describe_threads, threads_beside
from tests.support.waiting import eventually

_THREAD_GRACE = 20.0

# A loaded machine is no reason for a test to fail.
settings.register_profile(
    "kafka_patterns", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("kafka_patterns")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("broker")
    group.addoption(
        "--broker",
        choices=("embedded", "kafka"),
        default="embedded",
        help="what the fixture 'broker' is; with 'kafka', only tests that need a broker run",
    )
    group.addoption(
        "--kafka-version",
        default=KAFKA_VERSIONS[-1],
        metavar="VERSION",
        help="of Apache Kafka; default: %(default)s",
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what it runs in the background; children would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--broker") == "kafka" and not config.getoption("--collect-only"):
        # Before any test, whose time limit a download would break.
        try:
            kafka_libraries(config.getoption("--kafka-version"))
        except RuntimeError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--broker") == "kafka":
        return f"broker: Apache Kafka {config.getoption('--kafka-version')}"
    return "broker: embedded"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = _needs_broker if config.getoption("--broker") == "kafka" else _needs_no_real_kafka
    deselected = [item for item in items if not wanted(item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if wanted(item)]


def _needs_no_real_kafka(item: pytest.Item) -> bool:
    return item.get_closest_marker("real_kafka") is None


def _needs_broker(item: pytest.Item) -> bool:
    return "broker" in getattr(item, "fixturenames", ()) or not _needs_no_real_kafka(item)


@pytest.fixture
def no_logs() -> Iterator[None]:
    """For tests that fork: the lock of a log that another thread writes is held in the child."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread running that was not there before it."""
    known = set(threading.enumerate())
    yield
    eventually(
        lambda: not threads_beside(known),
        _THREAD_GRACE,
        describe=lambda: f"the end of these:\n{describe_threads(threads_beside(known))}",
    )


@pytest.fixture(scope="session")
def kafka_version(request: pytest.FixtureRequest) -> str:
    """The version of Apache Kafka that this run is about."""
    return str(request.config.getoption("--kafka-version"))


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, kafka_version: str) -> Iterator[TestBroker]:
    """The broker shared by all tests of the run; a test that harms it starts its own."""
    with run_backend(request.config.getoption("--broker"), kafka_version) as running:
        yield running


@pytest.fixture
def topic(broker: TestBroker) -> Callable[..., str]:
    """Create a topic that no other test uses: ``topic("hero", partitions=3)``."""

    def create(name: str = "topic", *, partitions: int = 1) -> str:
        return broker.create_topic(broker.unique(name), partitions)

    return create


@pytest.fixture
def kafka_server(kafka_version: str) -> Iterator[KafkaServer]:
    """Apache Kafka for this test alone, to be killed or frozen; only under ``real_kafka``.

    The end of its log is printed, so that pytest shows it if the test failed.
    """
    with KafkaServer(version=kafka_version) as server:
        yield server
        print(server.report())


@pytest.fixture
def start_python() -> Iterator[Callable[..., ManagedProcess]]:
    """Start Python processes that end with the test: ``start_python("-m", "app")``.

    What they wrote is printed at the end, so that pytest shows it if the test failed.
    """
    started: list[ManagedProcess] = []

    def start(
        *arguments: str | Path,
        name: str = "python",
        environment: Mapping[str, str] | None = None,
    ) -> ManagedProcess:
        process = python_process(*arguments, name=name, environment=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        print(process.report())
        process.close()
