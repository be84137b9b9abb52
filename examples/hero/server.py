"""The server: ``python -m examples.hero.server localhost:9092``.

It answers requests and takes events until Ctrl-C or SIGTERM, and then drains.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator

from examples.hero.display import show
from examples.hero.messages import HeroEntered, Item, KillDragon
from kafka_patterns import (
    KafkaContext,
    KafkaPatternsError,
    RpcException,
    ServerKafka,
    event_pattern,
    message_pattern,
)
from kafka_patterns.testing import embedded_tuning

__all__ = ["HeroController", "main"]

TREASURE = ("Golden Apple", "Mythical Sword", "Silver Horn", "Cloak of Mist")


class HeroController:
    """The handlers. One instance serves all threads."""

    @message_pattern("hero.kill.dragon")
    def kill_dragon(self, message: KillDragon, context: KafkaContext) -> list[Item]:
        """A request: what is returned is the reply, what is raised is the error."""
        if message.id == 13:
            raise RpcException({"code": "IMMORTAL", "message": "dragon 13 cannot be killed"})
        show("killed", f"dragon {message.id}", f"partition {context.partition}")
        return [Item(message.id, TREASURE[message.id % len(TREASURE)])]

    @message_pattern("hero.count.coins")
    def count_coins(self, chest: list[int]) -> int:
        """A request with plain data instead of classes."""
        return sum(chest)

    @message_pattern("hero.find.dragon")
    def find_dragon(self, message: KillDragon) -> str:
        """A request that takes longer than its caller is willing to wait."""
        time.sleep(1)
        return f"dragon {message.id} is behind the seventh hill"

    @message_pattern("hero.story")
    def story(self, hero: str) -> Iterator[str]:
        """A request with several replies: each value goes out as it comes."""
        for chapter in ("rode out", "met a dragon", "came home"):
            time.sleep(0.1)
            yield f"{hero} {chapter}"

    @event_pattern("hero.entered")
    def hero_entered(self, event: HeroEntered) -> None:
        """An event: nobody waits for an answer."""
        show("entered", event.hero)


def main(brokers: str) -> None:
    """Serve until a signal comes."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    server = ServerKafka(
        {
            "client": {"client_id": "hero", "brokers": brokers},
            # The tuning is for the embedded broker alone.
            "consumer": {"group_id": "hero-consumer", **embedded_tuning()},
        }
    )
    server.add_controller(HeroController())
    server.status.subscribe(lambda status: show("status", status))
    try:
        server.run()
    except KafkaPatternsError as error:
        sys.exit(f"the server cannot go on: {error}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9092")
