"""What idle partitions cost a busy one on the same broker.

Measured is the part that reads, through which go a client's replies as well as a server's messages,
and a server with a handler. Each reads a topic of one partition, and one that has twenty idle ones
more.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy, Message, ServerKafka
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.transport.base import Room
from kafka_patterns.transport.kafka_python.transport import KafkaPythonTransport
from tests.support.kafka_server import KafkaServer

__all__ = ["main"]

_IDLE = 20
_PATIENCE = 120.0
_LEAST_RATE = 0.8
_LONGEST_DELAY = 1.5
"""Shares of what the same partition has alone."""
_NUMBERS = itertools.count(1)

Handled = Callable[[int], None]
"""Told when a message that was handled had been produced, in nanoseconds since 1970."""


@attrs.frozen
class Plan:
    """What is measured.

    :param records: how many are read as quickly as can be.
    :param burst: how many are sent at a time to measure the delay.
    :param bursts: how many times.
    :param pause: seconds between two bursts.
    :param rounds: how often each measurement is made; the median counts.
    """

    records: int
    burst: int
    bursts: int
    pause: float
    rounds: int


@attrs.frozen
class Figures:
    """Of one run: messages a second of a backlog, and milliseconds from produced to handled."""

    rate: float
    delay: float


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if a limit was missed."""
    plan = read_arguments()
    kinds = {"reading": reading, "server": serving}
    figures: dict[tuple[str, int], list[Figures]] = {}
    with KafkaServer() as broker:
        options = {"client": {"client_id": "benchmark", "brokers": broker.bootstrap_servers}}
        with ClientKafkaProxy({**options, "producer_only_mode": True}) as client:
            for _ in range(plan.rounds):
                for kind, idle in itertools.product(kinds, (0, _IDLE)):
                    topic = f"benchmark.{next(_NUMBERS)}"
                    broker.create_topic(topic, 1 + idle)
                    run = measure(client, plan, topic, kinds[kind], options)
                    figures.setdefault((kind, idle), []).append(run)
    return print_table(plan, figures)


def read_arguments() -> Plan:
    """The plan, as the command line changes it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.busy_partition", description=__doc__
    )
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--burst", type=int, default=150)
    parser.add_argument("--bursts", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds; default: 0.05")
    parser.add_argument("--rounds", type=int, default=5)
    return Plan(**vars(parser.parse_args()))


def measure(
    client: ClientKafkaProxy, plan: Plan, topic: str, read: Any, options: dict[str, Any]
) -> Figures:
    """A backlog that is there before reading begins, then bursts while it goes on."""
    seen: list[tuple[int, int]] = []

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while len(seen) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(seen)} of {count} messages after {_PATIENCE:g} s")
            time.sleep(0.01)

    send(client, topic, plan.records)
    with read(options, topic, lambda produced: seen.append((produced, time.time_ns()))):
        wait_for(plan.records)
        for _ in range(plan.bursts):
            send(client, topic, plan.burst)
            time.sleep(plan.pause)
        wait_for(plan.records + plan.burst * plan.bursts)
    backlog, bursts = seen[: plan.records], seen[plan.records :]
    return Figures(
        plan.records / (backlog[-1][1] - backlog[0][1]) * 1e9,
        statistics.median(end - begin for begin, end in bursts) / 1e6,
    )


def send(client: ClientKafkaProxy, topic: str, count: int) -> None:
    """Write messages to the busy partition that say when they were produced."""
    client.emit_batch(topic, [Message(value=str(time.time_ns()), partition=0)] * count)


class Sink:
    """Takes whatever is read."""

    def __init__(self, handled: Handled) -> None:
        self._handled = handled

    def room(self, partition: TopicPartition, token: Any) -> Room:
        return Room(1_000, 1 << 24)

    def deliver(self, partition: TopicPartition, token: Any, records: list[Record]) -> None:
        for record in records:
            self._handled(int(record.value or b"0"))

    def passed(self, partition: TopicPartition, token: Any, offset: int) -> None:
        pass

    def restarted(self, partition: TopicPartition, token: Any, offset: int) -> Any:
        return token

    def reappeared(self, partition: TopicPartition, token: Any) -> None:
        pass


@contextmanager
def reading(options: dict[str, Any], topic: str, handled: Handled) -> Iterator[None]:
    """The part that reads, alone."""
    transport = KafkaPythonTransport(KafkaOptions.of(options), "benchmark")
    admin = transport.admin()
    admin.check_connection(10)
    fetcher = Fetcher(transport.reader, Sink(handled), admin, "benchmark-fetcher")
    for number in admin.partitions(topic, 10) or ():
        fetcher.assign(TopicPartition(topic, number), 0)
    fetcher.start()
    try:
        yield
    finally:
        fetcher.stop(10)
        admin.close()


@contextmanager
def serving(options: dict[str, Any], topic: str, handled: Handled) -> Iterator[None]:
    """A server whose handler does nothing else."""
    server = ServerKafka(
        {
            **options,
            "consumer": {"group_id": topic},
            "subscribe": {"from_beginning": True},
            "run": {"workers": 4},
        }
    )

    @server.event_pattern(topic)
    def handle(produced: str) -> None:
        handled(int(produced))

    with server:
        yield


def print_table(plan: Plan, figures: dict[tuple[str, int], list[Figures]]) -> int:
    """Print medians and ranges; returns the exit code."""
    print(
        f"{plan.records:,} messages, then {plan.bursts} bursts of {plan.burst}, a partition alone "
        f"and beside {_IDLE} idle ones, {plan.rounds} rounds, Python {sys.version.split()[0]}"
    )
    medians: dict[tuple[str, int], Figures] = {}
    for (kind, idle), runs in figures.items():
        rates, delays = [run.rate for run in runs], [run.delay for run in runs]
        medians[kind, idle] = Figures(statistics.median(rates), statistics.median(delays))
        print(
            f"{kind:8} {'beside idle' if idle else 'alone':11} "
            f"{medians[kind, idle].rate:8,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f}), "
            f"p50 {medians[kind, idle].delay:6.1f} ms ({min(delays):.1f}-{max(delays):.1f})"
        )
    missed = False
    for kind in dict.fromkeys(kind for kind, _ in figures):
        alone, beside = medians[kind, 0], medians[kind, _IDLE]
        rate, delay = beside.rate / alone.rate, beside.delay / alone.delay
        print(
            f"{kind:8} {rate:.2f} of the rate alone, at least {_LEAST_RATE}; "
            f"{delay:.2f} times the p50, at most {_LONGEST_DELAY}"
        )
        missed |= rate < _LEAST_RATE or delay > _LONGEST_DELAY
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
