"""A client that asks all the time, checks every reply, and says what it saw at SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any

from kafka_patterns import ClientKafkaProxy
from tests.integration.programs import arguments


def main(options: dict[str, Any], topic: str, threads: int, timeout: float) -> None:
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(topic)
    client.connect()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    seen: list[tuple[float, str | None]] = []

    def ask(thread: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            question = f"{os.getpid()}-{thread}-{number}"
            began = time.monotonic()
            try:
                reply = client.send(topic, question, timeout=timeout)
                problem = None if reply == {"got": question} else f"got {reply!r}"
            except Exception as error:  # noqa: BLE001  whatever it is, the test wants to know
                problem = f"{type(error).__name__}: {error}"
            seen.append((time.monotonic() - began, problem))
            if number == 1 and thread == 0:
                print("asking", flush=True)

    asking = [threading.Thread(target=ask, args=[thread]) for thread in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    client.close()
    problems = [problem for _, problem in seen if problem is not None]
    longest = max(seconds for seconds, _ in seen)
    print(json.dumps({"asked": len(seen), "problems": problems[:5], "longest": longest}))


if __name__ == "__main__":
    main(**arguments())
