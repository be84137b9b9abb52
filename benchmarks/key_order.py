"""How close key order comes to what the workers could do at best.

Records of many keys, a handler that sleeps, many workers in ``key`` order: the time from the
first handler's start to the last one's end, beside a bare thread pool that does the same sleeps
in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy, KafkaContext, Message, ServerKafka
from tests.support.kafka_server import KafkaServer

__all__ = ["main"]

_TOPIC = "benchmark.key-order"
_PARTITIONS = 4
_PATIENCE = 120.0
_LIMITS = {64: 1.25, 16: 1.15}
"""Workers to the most that the time may be, as a multiple of the ideal."""

_GROUPS = itertools.count(1)


@attrs.frozen
class Plan:
    """What is measured.

    :param records: how many records.
    :param keys: how many different keys they have.
    :param sleep: seconds that each handler takes.
    :param rounds: how often each measurement is made; the median counts.
    """

    records: int
    keys: int
    sleep: float
    rounds: int

    def ideal(self, workers: int) -> float:
        """Seconds that the sleeps alone take."""
        return self.records * self.sleep / workers


class OutOfOrder(Exception):
    """A key's records were not handled in their order."""


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if a limit was missed."""
    plan = read_arguments()
    seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with KafkaServer() as broker:
        broker.create_topic(_TOPIC, _PARTITIONS)
        options = {"client": {"client_id": "benchmark", "brokers": broker.bootstrap_servers}}
        produce(options, plan)
        for _ in range(plan.rounds):
            for workers in _LIMITS:
                seconds["server", workers].append(run_server(options, plan, workers))
                seconds["bare pool", workers].append(run_bare_pool(plan, workers))
    return print_table(plan, seconds)


def read_arguments() -> Plan:
    """The plan, as the command line changes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.key_order", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--sleep", type=float, default=0.005, help="seconds; default: 0.005")
    parser.add_argument("--rounds", type=int, default=5)
    return Plan(**vars(parser.parse_args()))


def produce(options: dict[str, Any], plan: Plan) -> None:
    """Write the records; each key's are numbered."""
    messages = []
    for number in range(plan.records):
        sequence, key = divmod(number, plan.keys)
        messages.append(Message(key=f"key-{key}", value={"sequence": sequence}))
    with ClientKafkaProxy(options) as client:
        client.emit_batch(_TOPIC, messages)


def run_server(options: dict[str, Any], plan: Plan, workers: int) -> float:
    """Seconds from the first handler's start to the last one's end.

    :raises OutOfOrder: if a key's records were not handled in their order.
    """
    server = ServerKafka(
        {
            **options,
            "consumer": {"group_id": f"benchmark-{next(_GROUPS)}"},
            "subscribe": {"from_beginning": True},
            "run": {"workers": workers, "ordering": "key"},
        }
    )
    spans: list[tuple[float, float, str, int]] = []
    done = threading.Event()

    @server.event_pattern(_TOPIC)
    def handle(event: dict[str, int], context: KafkaContext) -> None:
        began = time.perf_counter()
        time.sleep(plan.sleep)
        spans.append((began, time.perf_counter(), context.message.key, event["sequence"]))
        if len(spans) >= plan.records:
            done.set()

    with server:
        if not done.wait(_PATIENCE):
            raise TimeoutError(f"{len(spans)} of {plan.records} records after {_PATIENCE:g} s")
    check_order(spans)
    return max(end for _, end, *_ in spans) - min(began for began, *_ in spans)


def check_order(spans: list[tuple[float, float, str, int]]) -> None:
    """Each key's records one after the other, in their order.

    :raises OutOfOrder: if they were not.
    """
    last: dict[str, tuple[float, int]] = {}
    for began, ended, key, sequence in sorted(spans):
        end_before, sequence_before = last.get(key, (began, -1))
        if sequence != sequence_before + 1 or began < end_before:
            raise OutOfOrder(f"{key}: {sequence} after {sequence_before}")
        last[key] = (ended, sequence)


def run_bare_pool(plan: Plan, workers: int) -> float:
    """The same sleeps in a thread pool: seconds from the first's start to the last's end."""
    spans: list[tuple[float, float]] = []

    def sleep(_: int) -> None:
        began = time.perf_counter()
        time.sleep(plan.sleep)
        spans.append((began, time.perf_counter()))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(sleep, range(plan.records)))
    return max(end for _, end in spans) - min(began for began, _ in spans)


def print_table(plan: Plan, seconds: dict[tuple[str, int], list[float]]) -> int:
    """Print medians and ranges beside the ideal; returns the exit code."""
    print(
        f"{plan.records:,} records, {_PARTITIONS} partitions, {plan.keys:,} keys in order, "
        f"{plan.sleep * 1000:g} ms each, {plan.rounds} rounds, Python {sys.version.split()[0]}"
    )
    print(
        f"{'':10} {'workers':>7} {'ideal s':>8} {'median s':>8} {'range s':>13} {'ratio':>5}  limit"
    )
    missed = False
    for (what, workers), measured in seconds.items():
        ideal, median = plan.ideal(workers), statistics.median(measured)
        ratio = median / ideal
        limit = f"{_LIMITS[workers]:.2f}" if what == "server" else ""
        missed = missed or (what == "server" and ratio > _LIMITS[workers])
        spread = f"{min(measured):.3f}-{max(measured):.3f}"
        print(
            f"{what:10} {workers:7} {ideal:8.3f} {median:8.3f} {spread:>13} {ratio:5.2f}  {limit}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
