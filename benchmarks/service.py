"""An Apache Kafka with an echo service on it, for the benchmarks of clients."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterator
from typing import Any

import attrs

from tests.support.kafka_server import KafkaServer
from tests.support.processes import ManagedProcess, python_process

__all__ = ["Service", "percentile_99", "run_program", "run_service", "serve"]

_START_SECONDS = 40.0
_RUN_SECONDS = 60.0


@attrs.frozen
class Service:
    """A pattern that somebody answers.

    :param broker: it answers to that as well; more topics may be created.
    """

    broker: KafkaServer
    pattern: str

    @property
    def options(self) -> dict[str, Any]:
        """For a client."""
        return {"client": {"client_id": "benchmark", "brokers": self.broker.bootstrap_servers}}


@contextlib.contextmanager
def run_service(pattern: str, *, partitions: int, reply_partitions: int) -> Iterator[Service]:
    """Start a broker and :func:`serve` *pattern* on it."""
    with (
        KafkaServer() as broker,
        serve(broker, pattern, partitions=partitions, reply_partitions=reply_partitions) as service,
    ):
        yield service


@contextlib.contextmanager
def serve(
    broker: KafkaServer, pattern: str, *, partitions: int, reply_partitions: int
) -> Iterator[Service]:
    """Create the topics, and answer *pattern* in a process of its own."""
    broker.create_topic(pattern, partitions)
    broker.create_topic(f"{pattern}.reply", reply_partitions)
    service = Service(broker, pattern)
    options = {**service.options, "consumer": {"group_id": pattern}}
    arguments = json.dumps({"options": options, "pattern": pattern})
    with python_process("-m", "benchmarks.programs.echo", arguments, name="echo") as server:
        server.wait_for_line("^status connected", _START_SECONDS)
        yield service


def percentile_99(took: list[float]) -> float:
    """The time that one in a hundred exceeds."""
    return statistics.quantiles(took, n=100)[-1]


def run_program(name: str, **arguments: Any) -> ManagedProcess:
    """Run a program of the benchmarks to its end; returns the process, to be closed.

    :raises AssertionError: if it fails.
    """
    process = python_process("-m", f"benchmarks.programs.{name}", json.dumps(arguments), name=name)
    try:
        code = process.wait(_RUN_SECONDS)
        assert code == 0, process.report()
    except BaseException:
        process.close()
        raise
    return process
