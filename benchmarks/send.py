"""Blocking ``send`` beside a client that somebody wrote by hand on kafka-python-ng.

Server and clients are processes of their own, on an Apache Kafka. The two clients take turns,
so that what else the machine does meets both, and each round is compared with its own.
Both read their replies without a group, and nothing in the way of a request waits for a commit.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from benchmarks.programs import callers as programs
from benchmarks.service import Service, percentile_99, run_service

__all__ = ["main"]

_PATTERN = "benchmark.send"
_CALLERS = (1, 8, 64)
_CLIENTS: dict[str, Callable[[dict[str, Any], str], programs.Caller]] = {
    "library": programs.Library,
    "hand-written": programs.HandWritten,
}


class Limit(NamedTuple):
    """What a median ratio of the library to the hand-written client may be."""

    callers: int
    figure: str
    least: float
    most: float

    def holds(self, ratio: float) -> bool:
        """Whether *ratio* is within the limit."""
        return self.least <= ratio <= self.most

    def __str__(self) -> str:
        return f"at least {self.least:g}" if self.least else f"at most {self.most:g}"


_LIMITS = (
    Limit(1, "p50", 0.0, 1.3),
    Limit(8, "requests/s", 0.85, float("inf")),
    Limit(8, "p99", 0.0, 1.0),
    Limit(64, "requests/s", 0.85, float("inf")),
)

Figures = dict[str, float]
"""``requests/s``, and ``p50`` and ``p99`` in milliseconds."""


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.send", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn; default: 3")
    arguments = parser.parse_args()
    rounds: dict[tuple[int, str], list[Figures]] = {}
    with (
        run_service(_PATTERN, partitions=4, reply_partitions=2) as service,
        run_clients(service) as clients,
    ):
        for callers in _CALLERS:
            for client in clients.values():  # not counted: both connections are warm then
                client.submit(programs.measure, callers, 1.0).result()
            for number in range(arguments.rounds):
                turns = list(clients.items())
                for name, client in turns if number % 2 else reversed(turns):
                    took = client.submit(programs.measure, callers, arguments.seconds).result()
                    rounds.setdefault((callers, name), []).append(figures(took, callers))
    return print_table(rounds, arguments.rounds, arguments.seconds)


@contextlib.contextmanager
def run_clients(service: Service) -> Iterator[dict[str, ProcessPoolExecutor]]:
    """Each client in a process of its own, connected."""
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        clients = {}
        for partition, (name, make) in enumerate(_CLIENTS.items()):
            client = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
            options = {**service.options, "reply": {"mode": "direct", "partition": partition}}
            client.submit(programs.connect, make, options, service.pattern).result()
            stack.callback(disconnect, client)
            clients[name] = client
        yield clients


def disconnect(client: ProcessPoolExecutor) -> None:
    """Let *client* close its connections."""
    client.submit(programs.disconnect).result()


def figures(took: list[float], callers: int) -> Figures:
    """What one turn amounts to."""
    return {
        # Callers ask without a pause, so the time of one caller is all its requests' together.
        "requests/s": callers * len(took) / sum(took),
        "p50": statistics.median(took) * 1000,
        "p99": percentile_99(took) * 1000,
    }


def print_table(rounds: dict[tuple[int, str], list[Figures]], count: int, seconds: float) -> int:
    """Print the medians and the ratios; returns the exit code."""
    print(f"blocking send, {count} rounds of {seconds:g} s each, Python {sys.version.split()[0]}")
    print(f"{'callers':>7}  {'client':12} {'requests/s':>10} {'p50 ms':>7} {'p99 ms':>7}")
    for (callers, name), measured in rounds.items():
        medians = {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        print(
            f"{callers:7}  {name:12} {medians['requests/s']:10.0f} {medians['p50']:7.2f} "
            f"{medians['p99']:7.2f}"
        )
    print(f"\n{'callers':>7}  {'library / hand-written':22} {'median':>6} {'range':>11}  limit")
    missed = False
    for limit in _LIMITS:
        ratios = [
            ours[limit.figure] / theirs[limit.figure]
            for ours, theirs in zip(
                rounds[limit.callers, "library"],
                rounds[limit.callers, "hand-written"],
                strict=True,
            )
        ]
        ratio = statistics.median(ratios)
        missed = missed or not limit.holds(ratio)
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(f"{limit.callers:7}  {limit.figure:22} {ratio:6.2f} {spread:>11}  {limit}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
