"""A supervisor that forks workers the way uWSGI does, each of which asks, and tells how it went."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from kafka_patterns import ClientKafkaProxy
from tests.integration.programs import arguments

_TIMEOUT = 20.0


def main(options: dict[str, Any], pattern: str, workers: int, *, connect: bool) -> None:
    """Fork *workers* processes from a thread while others ask; end with 0 if all did well."""
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(pattern)
    if connect:
        client.connect()
    stopped = threading.Event()
    asking = [threading.Thread(target=keep_asking, args=(client, pattern, stopped))]
    if connect:
        asking[0].start()
    children = [start_worker(client, pattern, number) for number in range(workers)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stopped.set()
    if connect:
        asking[0].join()
    ask(client, pattern, "supervisor")
    client.close()
    sys.exit(0 if codes == [0] * workers else 1)


def keep_asking(client: ClientKafkaProxy, pattern: str, stopped: threading.Event) -> None:
    """Ask without a pause, so that every fork happens in the middle of it."""
    while not stopped.is_set():
        ask(client, pattern, "supervisor")


def start_worker(client: ClientKafkaProxy, pattern: str, number: int) -> int:
    """Fork a worker that asks, forks another that asks, and asks again."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        threads = [
            threading.Thread(target=ask, args=(client, pattern, f"worker {number} thread {n}"))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grandchild = os.fork()
        ask(client, pattern, f"worker {number} after a fork of its own, {bool(grandchild)}")
        if grandchild:
            code = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
        else:
            code = 0
        client.close()
    finally:
        os._exit(code)


def ask(client: ClientKafkaProxy, pattern: str, who: str) -> None:
    """Ask once; end the process if somebody else's answer comes."""
    answer = client.send(pattern, who, timeout=_TIMEOUT)
    if answer != {"got": who}:
        print(f"{who} was answered {answer!r}", flush=True)
        os._exit(3)


if __name__ == "__main__":
    main(**arguments())
