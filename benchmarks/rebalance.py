"""What requests notice of a rebalance: the slowest hundredth, beside a control run.

A client in group mode asks without a pause while other instances, whose processes run already,
join and leave. In turn they join the group of this client, and another one: that costs the
machine and the broker as much, and concerns this client in no way.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import attrs

from benchmarks.programs import callers as programs
from benchmarks.programs.instances import join_and_leave
from benchmarks.service import Service, percentile_99, run_service

__all__ = ["Comparison", "compare", "main"]

_PATTERN = "benchmark.rebalance"
_CALLERS = 8
_JOINERS = 2
_REPLY_PARTITIONS = 4
_STAY_SECONDS = 0.5
_LIMIT = 1.2


@attrs.frozen
class Comparison:
    """All requests of both kinds of turns, in seconds that they took."""

    rebalanced: list[float]
    control: list[float]

    @property
    def ratio(self) -> float:
        """The p99 while instances joined, as a multiple of that of the control run."""
        return percentile_99(self.rebalanced) / percentile_99(self.control)


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if the limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebalance", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--joins", type=int, default=4, help="of each joiner, in each turn")
    arguments = parser.parse_args()
    with run_service(_PATTERN, partitions=4, reply_partitions=_REPLY_PARTITIONS) as service:
        compared = compare(service, arguments.rounds, arguments.joins)
    return print_table(compared, arguments.rounds, arguments.joins)


def compare(service: Service, rounds: int, joins: int) -> Comparison:
    """Take turns: instances join the asking client's group, and another group."""
    compared = Comparison([], [])
    with run_processes(1 + _JOINERS) as (asking, *joiners):
        asking.submit(
            programs.connect, programs.Library, group_options(service, "steady"), service.pattern
        ).result()
        for number in range(rounds):
            turns = [("steady", compared.rebalanced), ("control", compared.control)]
            for group, took in turns if number % 2 else reversed(turns):
                took.extend(ask_while_others_join(service, asking, joiners, group, joins))
        asking.submit(programs.disconnect).result()
    return compared


def ask_while_others_join(
    service: Service,
    asking: ProcessPoolExecutor,
    joiners: list[ProcessPoolExecutor],
    group: str,
    joins: int,
) -> list[float]:
    """The seconds that requests took while each joiner joined *group* so many times."""
    joining = [
        joiner.submit(
            join_and_leave, group_options(service, group), service.pattern, joins, _STAY_SECONDS
        )
        for joiner in joiners
    ]
    took = []
    while not all(future.done() for future in joining):
        took += asking.submit(programs.measure, _CALLERS, _STAY_SECONDS).result()
    for future in joining:
        future.result()
    return took


@contextlib.contextmanager
def run_processes(count: int) -> Iterator[list[ProcessPoolExecutor]]:
    """So many processes that run, and have imported what they need."""
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=context)) for _ in range(count)
        ]
        for started in [process.submit(programs.disconnect) for process in processes]:
            started.result()
        yield processes


def group_options(service: Service, group: str) -> dict[str, Any]:
    """Of an instance in *group*."""
    consumer = {"group_id": group, "session_timeout_ms": 6_000, "heartbeat_interval_ms": 500}
    return {**service.options, "consumer": consumer}


def print_table(compared: Comparison, rounds: int, joins: int) -> int:
    """Print both kinds of turns and the ratio; returns the exit code."""
    print(
        f"{_CALLERS} callers, {rounds} turns of each kind, {_JOINERS} instances that join and "
        f"leave {joins} times in each"
    )
    print(f"{'instances join':22} {'requests':>8} {'p50 ms':>7} {'p99 ms':>7} {'longest':>8}")
    for name, took in (
        ("the group of the caller", compared.rebalanced),
        ("another group", compared.control),
    ):
        print(
            f"{name:23} {len(took):8,} {statistics.median(took) * 1000:7.2f} "
            f"{percentile_99(took) * 1000:7.2f} {max(took) * 1000:8.1f}"
        )
    print(f"p99 ratio {compared.ratio:.2f}, limit {_LIMIT:g}")
    return int(compared.ratio > _LIMIT)


if __name__ == "__main__":
    sys.exit(main())
