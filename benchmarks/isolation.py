"""What a partition that stands costs the others, on a server and on a client.

Events go one by one to one topic, while another topic of the same server is refused, or holds what
cannot be read; requests go to one pattern, while the reply topic of another one is refused.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from kafka_patterns import ClientKafkaProxy, Message, ServerKafka
from tests.integration.real.guarded_kafka import GuardedKafka
from tests.integration.real.secure_kafka import ALICE
from tests.integration.wire import Wire
from tests.support.kafka_distribution import KAFKA_VERSIONS
from tests.support.waiting import eventually
from tests.transport.batches import with_bad_name

__all__ = ["main"]

_SOUND, _STANDS = "benchmark.sound", "benchmark.stands"
_MOST = 1.2
"""The median of the others, as a multiple of that while nothing stands."""
_NUMBERS = itertools.count(1)
_PATIENCE = 30.0


@attrs.frozen
class Plan:
    """What is measured.

    :param messages: how many, one after the other, in each round of each case.
    :param pause: seconds between two of them.
    :param rounds: how often; the median of the rounds' medians counts.
    """

    messages: int
    pause: float
    rounds: int


class Bench:
    """One broker, and what is measured on it."""

    def __init__(self, kafka: GuardedKafka, plan: Plan) -> None:
        self._kafka = kafka
        self._plan = plan
        self._wire = Wire(kafka.as_anybody.bootstrap_servers)
        for topic in (_SOUND, _STANDS):
            kafka.server.create_topic(topic, 4)
            kafka.server.create_topic(f"{topic}.reply", 1)
            self._allow(topic)
            self._allow(f"{topic}.reply")

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _allow(self, topic: str) -> None:
        self._kafka.allow("topic", topic, "READ", "WRITE")

    def _options(self, name: str) -> dict[str, Any]:
        group = f"{name}-{next(_NUMBERS)}"
        self._kafka.allow("group", f"{group}-server", "READ")
        return {
            "client": {
                "client_id": name,
                "brokers": self._kafka.as_alice.bootstrap_servers,
                "sasl": {"mechanism": "plain", **ALICE},
            },
            "consumer": {"group_id": group},
            "reply": {"mode": "direct"},
        }

    @contextmanager
    def _refused(self, topic: str, health: Callable[[], Any]) -> Iterator[None]:
        self._kafka.withdraw("topic", topic, "READ", "WRITE")
        try:
            eventually(lambda: health().stalled, _PATIENCE)
            yield
        finally:
            self._allow(topic)

    def events(self, case: str) -> float:
        """The median of the seconds from ``emit`` to the handler."""
        server = ServerKafka(self._options("server"))
        seconds: list[float] = []
        server.event_pattern(_SOUND)(
            lambda event: seconds.append(time.perf_counter() - event["sent"])
        )
        server.event_pattern(_STANDS)(lambda _: None)
        with server, ClientKafkaProxy(self._options("emitter")) as client:
            if case == "refused":
                with self._refused(_STANDS, server.health):
                    self._emit(client, seconds)
            else:
                if case == "unreadable":
                    self._wire.store(_STANDS, with_bad_name())
                    eventually(lambda: server.health().stalled, _PATIENCE)
                self._emit(client, seconds)
        return statistics.median(seconds)

    def _emit(self, client: ClientKafkaProxy, seconds: list[float]) -> None:
        for number in range(self._plan.messages):
            client.emit(_SOUND, Message(key=str(number), value={"sent": time.perf_counter()}))
            time.sleep(self._plan.pause)
        eventually(lambda: len(seconds) == self._plan.messages, _PATIENCE)

    def requests(self, case: str) -> float:
        """The median of the seconds that a request takes."""
        server = ServerKafka(self._options("server"))
        for topic in (_SOUND, _STANDS):
            server.message_pattern(topic)(lambda payload: payload)
        client = ClientKafkaProxy(self._options("client"))
        for topic in (_SOUND, _STANDS):
            client.subscribe_to_response_of(topic)
        with server, client:
            client.send(_STANDS, 1)
            if case == "refused":
                with self._refused(f"{_STANDS}.reply", client.health):
                    return self._ask(client)
            if case == "unreadable":
                self._wire.store(f"{_STANDS}.reply", with_bad_name())
            return self._ask(client)

    def _ask(self, client: ClientKafkaProxy) -> float:
        seconds = []
        for number in range(self._plan.messages):
            started = time.perf_counter()
            client.send(_SOUND, number)
            seconds.append(time.perf_counter() - started)
            time.sleep(self._plan.pause)
        return statistics.median(seconds)


_CASES = ("nothing stands", "refused", "unreadable")


def main() -> int:
    """Measure, print the table, and return the exit code: 1 if the limit was missed."""
    plan = read_arguments()
    logging.disable()  # refusals are logged again and again, which takes time of its own
    medians: dict[tuple[str, str], list[float]] = {}
    kafka = GuardedKafka(KAFKA_VERSIONS[-1])
    bench = Bench(kafka, plan)
    try:
        for _ in range(plan.rounds):
            for name, measure in (("events", bench.events), ("requests", bench.requests)):
                for case in _CASES:
                    medians.setdefault((name, case), []).append(measure(case))
    finally:
        bench.close()
        kafka.close()
    return print_table(plan, medians)


def read_arguments() -> Plan:
    """The plan, as the command line changes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--pause", type=float, default=0.005, help="seconds; default: 0.005")
    parser.add_argument("--rounds", type=int, default=5)
    return Plan(**vars(parser.parse_args()))


def print_table(plan: Plan, medians: dict[tuple[str, str], list[float]]) -> int:
    """Print the medians and their ratios; returns the exit code."""
    print(
        f"{plan.messages:,} messages, {plan.pause * 1000:g} ms apart, {plan.rounds} rounds, "
        f"Python {sys.version.split()[0]}"
    )
    worst = 0.0
    for (name, case), measured in medians.items():
        alone = statistics.median(medians[name, _CASES[0]])
        ratio = statistics.median(measured) / alone
        worst = max(worst, ratio)
        print(
            f"{name:9} {case:15} p50 {statistics.median(measured) * 1000:6.2f} ms "
            f"({min(measured) * 1000:.2f}-{max(measured) * 1000:.2f}), {ratio:.2f} times"
        )
    print(f"the others take {worst:.2f} times as long at worst; at most {_MOST}")
    return int(worst > _MOST)


if __name__ == "__main__":
    sys.exit(main())
