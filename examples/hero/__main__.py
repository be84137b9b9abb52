"""The demo: ``python -m examples.hero``.

Starts the embedded broker, the server and the client, each as a process of its own, shows what
they write, and stops them all in the end, whatever happened.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType

from examples.hero.process import DemoProcess
from kafka_patterns import KafkaPatternsError
from kafka_patterns.testing import EmbeddedBroker

__all__ = ["main"]

TOPICS = {
    "hero.kill.dragon": 3,
    "hero.kill.dragon.reply": 1,
    "hero.count.coins": 3,
    "hero.count.coins.reply": 1,
    "hero.find.dragon": 1,
    "hero.find.dragon.reply": 1,
    "hero.story": 1,
    "hero.story.reply": 1,
    "hero.entered": 3,
}
HEROES = ("Kaido", "Yamato", "Ace", "Oden", "Momo")
START_SECONDS = 60
CLIENT_SECONDS = 90
EVENT_SECONDS = 30


class DemoFailure(Exception):
    """A part of the demo did not do what it should."""


def main() -> int:
    """Run the demo and return its exit code: 0 if all went well."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    started = time.monotonic()
    try:
        run()
    except (DemoFailure, KafkaPatternsError, BrokenPipeError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"\nDone in {time.monotonic() - started:.1f} s. Nothing is left running.", flush=True)
    return 0


def run() -> None:
    """Start the parts one after the other, and stop them in the opposite order."""
    print("kafka_patterns: requests and events over Kafka between two Python processes\n")
    with ExitStack() as parts:
        # Entered first, so left last: nothing may break off the stopping.
        broker = parts.enter_context(EmbeddedBroker(topics=TOPICS))
        parts.callback(_let_nothing_interrupt)
        addresses = ",".join(broker.bootstrap_servers)
        print(f"broker | process {broker.pid} at {addresses}", flush=True)

        server = parts.enter_context(DemoProcess("server", "examples.hero.server", addresses))
        if not server.wait_for_line("status", "connected", timeout=START_SECONDS):
            raise DemoFailure("the server did not connect")

        client = parts.enter_context(DemoProcess("client", "examples.hero.client", addresses))
        _expect_success(client, client.wait(CLIENT_SECONDS))
        for hero in HEROES:
            if not server.wait_for_line("entered", hero, timeout=EVENT_SECONDS):
                raise DemoFailure(f"the server was not told that {hero} entered")
        _expect_success(server, server.stop())


def _expect_success(process: DemoProcess, code: int | None) -> None:
    if code is None:
        raise DemoFailure(f"the {process.name} did not end in time")
    if code != 0:
        raise DemoFailure(f"the {process.name} ended with exit code {code}")


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _let_nothing_interrupt() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _forget_output() -> None:
    """Let the interpreter's last flush go nowhere, if what it goes into is closed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    exit_code = main()
    _forget_output()
    sys.exit(exit_code)
