"""A server whose handler starts a pool of forked processes, and terminates it while they work."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

from kafka_patterns import ServerKafka
from tests.integration.programs import arguments, tell


def work_long(_: int) -> None:
    """What the processes of the pool do until they are terminated."""
    time.sleep(600)


def main(options: dict[str, Any], topic: str) -> None:
    """Serve until a signal."""
    server = ServerKafka(options)
    server.status.subscribe(lambda status: tell("status", status))

    @server.event_pattern(topic)
    def work(_: str) -> None:
        pool = multiprocessing.get_context("fork").Pool(2)
        pool.map_async(work_long, range(4), chunksize=1)
        pool.terminate()
        pool.join()
        tell("terminated")

    server.run()
    tell("drained")


if __name__ == "__main__":
    main(**arguments())
