"""The client: ``python -m examples.hero.client localhost:9092``.

It sends requests and events to the server, shows what comes back, and ends.
"""

from __future__ import annotations

import logging
import sys

from examples.hero.display import show, timed
from examples.hero.messages import HeroEntered, Item, KillDragon
from kafka_patterns import (
    ClientKafkaProxy,
    KafkaPatternsError,
    Message,
    RequestTimeout,
    RpcException,
)
from kafka_patterns.testing import embedded_tuning

__all__ = ["main"]


def ask(client: ClientKafkaProxy) -> None:
    """Requests: ``send`` waits for the reply, and structures it as ``returns=`` says."""
    for number in (1, 2, 3):
        request = KillDragon(number)
        with timed("hero.kill.dragon", request) as row:
            items = client.send("hero.kill.dragon", request, timeout=20, returns=list[Item])
            row.ends_with(items[0])


def ask_many_at_once(client: ClientKafkaProxy) -> None:
    """Requests that do not wait for each other: futures, as of ``concurrent.futures``."""
    with timed("hero.count.coins", "100 at once") as row:
        futures = [
            client.send_future("hero.count.coins", [number, number], returns=int)
            for number in range(100)
        ]
        sums = [future.result(timeout=30) for future in futures]
        right = sum(found == 2 * number for number, found in enumerate(sums))
        row.ends_with(f"{right} right answers")


def ask_for_the_impossible(client: ClientKafkaProxy) -> None:
    """A remote error arrives as an exception, with the object that the handler gave it."""
    request = KillDragon(13)
    with timed("hero.kill.dragon", request) as row:
        try:
            client.send("hero.kill.dragon", request, timeout=20)
        except RpcException as error:
            row.ends_with(f"RpcException: {error.error['code']}")


def ask_and_give_up(client: ClientKafkaProxy) -> None:
    """No request waits for ever: without ``timeout`` it is ``reply.timeout_ms``, 30 s."""
    request = KillDragon(7)
    with timed("hero.find.dragon", request) as row:
        try:
            client.send("hero.find.dragon", request, timeout=0.8)
        except RequestTimeout:
            row.ends_with("RequestTimeout after 0.3 s")


def listen(client: ClientKafkaProxy) -> None:
    """A request with several replies is an iterator."""
    with timed("hero.story", "Kaido") as row:
        for part in client.stream("hero.story", "Kaido", timeout=20):
            row.ends_with(part)


def tell(client: ClientKafkaProxy) -> None:
    """Events: they end when the broker has them."""
    with timed("hero.entered", "emit") as row:
        place = client.emit("hero.entered", HeroEntered("Kaido"))
        row.ends_with(f"partition {place.partition}, offset {place.offset}")
    with timed("hero.entered", "emit_future") as row:
        future = client.emit_future("hero.entered", HeroEntered("Yamato"))
        place = future.result(timeout=20)
        row.ends_with(f"partition {place.partition}, offset {place.offset}")
    with timed("hero.entered", "emit_batch") as row:
        places = client.emit_batch(
            "hero.entered",
            [
                HeroEntered("Ace"),
                HeroEntered("Oden"),
                Message(value=HeroEntered("Momo"), key="wano", headers={"realm": "Nest"}),
            ],
        )
        row.ends_with(f"{len(places)} events taken")


def main(brokers: str) -> None:
    """Send everything there is, and end."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    client = ClientKafkaProxy(
        {
            "client": {"client_id": "hero", "brokers": brokers},
            # The tuning is for the embedded broker alone.
            "consumer": {"group_id": "hero-consumer", **embedded_tuning()},
        }
    )
    for pattern in ("hero.kill.dragon", "hero.count.coins", "hero.find.dragon", "hero.story"):
        client.subscribe_to_response_of(pattern)
    client.status.subscribe(lambda status: show("status", status))
    show("PATTERN", "PAYLOAD", "REPLY", "TIME")
    try:
        with client:
            ask(client)
            ask_many_at_once(client)
            ask_for_the_impossible(client)
            ask_and_give_up(client)
            listen(client)
            tell(client)
    except KafkaPatternsError as error:
        sys.exit(f"the client cannot go on: {error}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9092")
