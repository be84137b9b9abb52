"""How soon a client in ``direct`` mode has its first reply.

Each measurement is a process of its own, from ``connect()`` to the first reply; importing is
not counted. The broker's version is known, or has to be probed, or a client before it in the
same process has probed it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from benchmarks.service import Service, run_program, run_service

__all__ = ["main"]

_PATTERN = "benchmark.direct-connect"
_API_VERSION = "2.6.0"
_LIMITS = {"known": 60.0, "probed": 250.0, "probed before": 60.0}
"""How many milliseconds the median may be."""


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.direct_connect")
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    measured: dict[str, list[float]] = {name: [] for name in _LIMITS}
    with run_service(_PATTERN, partitions=1, reply_partitions=4) as service:
        for _ in range(runs):
            measured["known"] += time_first_replies(service, api_version=_API_VERSION)
            probed, probed_before = time_first_replies(service, clients=2)
            measured["probed"].append(probed)
            measured["probed before"].append(probed_before)
    return print_table(measured)


def time_first_replies(service: Service, *, clients: int = 1, **client: Any) -> list[float]:
    """Milliseconds of so many clients in one new process.

    :param client: more options of the section ``client``.
    """
    options = {
        "client": {**service.options["client"], **client},
        "reply": {"mode": "direct"},
    }
    with run_program(
        "first_reply", options=options, pattern=service.pattern, clients=clients
    ) as process:
        return [float(line) for line in process.lines]


def print_table(measured: dict[str, list[float]]) -> int:
    """Print medians and ranges; returns the exit code."""
    runs = len(measured["known"])
    print(f"connect() to the first reply, reply.mode = direct, {runs} runs, milliseconds")
    print(f"{'api_version':14} {'median':>7} {'range':>13}  limit")
    missed = False
    for name, values in measured.items():
        median = statistics.median(values)
        missed = missed or median >= _LIMITS[name]
        spread = f"{min(values):.1f}-{max(values):.1f}"
        print(f"{name:14} {median:7.1f} {spread:>13}  {_LIMITS[name]:g}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
