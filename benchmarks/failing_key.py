"""What a failing key costs the others: the same run with one and without.

The failing key's messages are many times what may be in flight. The time counts from the first
handler's start to the last end of a handler of any other key.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy, KafkaContext, Message, Retry, ServerKafka, fixed
from tests.support.kafka_server import KafkaServer

__all__ = ["main"]

_TOPIC = "benchmark.failing-key"
_PATIENCE = 120.0
_LEAST = 0.9
"""The throughput of the others, as a share of that without failures."""

_GROUPS = itertools.count(1)
_BAD = "bad"


@attrs.frozen
class Plan:
    """What is measured.

    :param records: how many records; every fourth is of the failing key.
    :param in_flight: ``run.max_in_flight``.
    :param sleep: seconds that each handler takes.
    :param rounds: how often each measurement is made; the median counts.
    """

    records: int
    in_flight: int
    sleep: float
    rounds: int

    def key(self, number: int) -> str:
        """The key of a record."""
        return _BAD if number % 4 == 0 else f"key-{number % 997}"

    @property
    def others(self) -> int:
        """How many records are not of the failing key."""
        return sum(self.key(number) != _BAD for number in range(self.records))


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if the limit was missed."""
    plan = read_arguments()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with KafkaServer() as broker:
        broker.create_topic(_TOPIC, 1)
        options = {"client": {"client_id": "benchmark", "brokers": broker.bootstrap_servers}}
        produce(options, plan)
        for _ in range(plan.rounds):
            for fails in (False, True):
                seconds[fails].append(run_server(options, plan, fails=fails))
    return print_table(plan, seconds)


def read_arguments() -> Plan:
    """The plan, as the command line changes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failing_key", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--sleep", type=float, default=0.002, help="seconds; default: 0.002")
    parser.add_argument("--rounds", type=int, default=5)
    return Plan(**vars(parser.parse_args()))


def produce(options: dict[str, Any], plan: Plan) -> None:
    """Write the records, all in one partition."""
    with ClientKafkaProxy(options) as client:
        client.emit_batch(
            _TOPIC, [Message(key=plan.key(number), value=number) for number in range(plan.records)]
        )


def run_server(options: dict[str, Any], plan: Plan, *, fails: bool) -> float:
    """Seconds from the first handler's start to the last end of a handler of another key."""
    server = ServerKafka(
        {
            **options,
            "consumer": {"group_id": f"benchmark-{next(_GROUPS)}"},
            "subscribe": {"from_beginning": True},
            "run": {"workers": 8, "ordering": "key", "max_in_flight": plan.in_flight},
        }
    )
    ends: list[float] = []
    began: list[float] = []
    done = threading.Event()
    others = plan.others

    @server.event_pattern(_TOPIC, retry=Retry(max_attempts=None, backoff=fixed(0.1)))
    def handle(_event: int, context: KafkaContext) -> None:
        if not began:
            began.append(time.perf_counter())
        if context.message.key == _BAD:
            if fails:
                raise ConnectionError("the failing key")
            return
        time.sleep(plan.sleep)
        ends.append(time.perf_counter())
        if len(ends) >= others:
            done.set()

    with server:
        if not done.wait(_PATIENCE):
            raise TimeoutError(f"{len(ends)} of {others} records after {_PATIENCE:g} s")
    return max(ends) - began[0]


def print_table(plan: Plan, seconds: dict[bool, list[float]]) -> int:
    """Print medians and ranges; returns the exit code."""
    print(
        f"{plan.records:,} records, {plan.records - plan.others:,} of the failing key, "
        f"{plan.in_flight} in flight, {plan.sleep * 1000:g} ms each, {plan.rounds} rounds, "
        f"Python {sys.version.split()[0]}"
    )
    for fails, measured in seconds.items():
        median = statistics.median(measured)
        print(
            f"{'one key fails' if fails else 'none fails':14} median {median:6.3f} s "
            f"({min(measured):.3f}-{max(measured):.3f}), {plan.others / median:8,.0f} others/s"
        )
    share = statistics.median(seconds[False]) / statistics.median(seconds[True])
    print(f"throughput of the others: {share:.2f} of that without failures; at least {_LEAST}")
    return int(share < _LEAST)


if __name__ == "__main__":
    sys.exit(main())
