"""What is public, and what importing it and making objects of it must not do."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

import kafka_patterns
from kafka_patterns import errors
from tests.support.processes import ManagedProcess

_REPORT = """
import os, sys, threading
environment = dict(os.environ)
{statements}
imported = sorted(name for name in sys.modules if name.split(".")[0] == "kafka")
sockets = [os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd")
           if os.path.exists(f"/proc/self/fd/{{fd}}")] if os.path.isdir("/proc/self/fd") else []
sockets = [name for name in sockets if name.startswith("socket:")]
print("imported", imported)
print("threads", [thread.name for thread in threading.enumerate()])
print("sockets", sockets)
print("environment", "same" if environment == dict(os.environ) else "changed")
"""


def test_names_are_sorted_and_named_once() -> None:
    assert kafka_patterns.__all__ == sorted(set(kafka_patterns.__all__))


def test_every_name_exists() -> None:
    for name in kafka_patterns.__all__:
        assert getattr(kafka_patterns, name) is not None


def test_every_imported_name_is_public() -> None:
    present = {
        name
        for name, value in vars(kafka_patterns).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }

    assert present == set(kafka_patterns.__all__)


def test_every_error_is_public_and_of_one_tree() -> None:
    for name in errors.__all__:
        error = getattr(kafka_patterns, name)
        assert issubclass(error, kafka_patterns.KafkaPatternsError)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ConfigurationError", ValueError),
        ("PayloadError", ValueError),
        ("RequestTimeout", TimeoutError),
    ],
)
def test_errors_are_also_what_the_standard_library_would_raise(
    name: str, base: type[Exception]
) -> None:
    assert issubclass(getattr(kafka_patterns, name), base)


def test_every_public_name_is_described() -> None:
    for name in kafka_patterns.__all__:
        thing = getattr(kafka_patterns, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


@pytest.mark.parametrize(
    "statements",
    [
        "import kafka_patterns",
        """
from kafka_patterns import Client, ClientKafkaProxy, ClientProxyFactory, ClientsModule
client = ClientKafkaProxy({"client": {"brokers": ["127.0.0.1:1"]}})
client.subscribe_to_response_of("hero")
Client({"client": {"client_id": "hero"}})
ClientProxyFactory.create({"options": {}})
ClientsModule.register([{"name": "HERO", "options": {}}])["HERO"]
""",
        """
from kafka_patterns import ServerKafka
server = ServerKafka({"client": {"brokers": ["127.0.0.1:1"]}})
@server.message_pattern("hero")
def handle(message):
    return message
""",
        "import kafka_patterns.testing; kafka_patterns.testing.EmbeddedBroker()",
    ],
    ids=["import", "client", "server", "testing"],
)
def test_importing_and_constructing_connects_to_nothing(
    statements: str, start_python: Callable[..., ManagedProcess]
) -> None:
    process = start_python("-c", _REPORT.format(statements=statements))

    assert process.wait() == 0, process.report()
    assert process.lines == [
        "imported []",
        "threads ['MainThread']",
        "sockets []",
        "environment same",
    ]
