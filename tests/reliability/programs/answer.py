"""A server that tells each caller what it asked, after as long as it is asked to take."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from kafka_patterns import KafkaContext, ServerKafka
from tests.reliability.programs import arguments

logger = logging.getLogger("server")


def main(options: dict[str, Any], pattern: str) -> None:
    """Serve until a signal comes."""
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    server = ServerKafka(options)
    server.status.subscribe(lambda status: logger.warning("status %s", status))

    @server.message_pattern(pattern, ordering="unordered")
    def answer(question: dict[str, Any], context: KafkaContext) -> dict[str, Any]:
        threading.Event().wait(question["ms"] / 1000)
        partition = int(context.message.headers["kafka_replyPartition"])
        return {"id": question["id"], "partition": partition}

    server.run()


if __name__ == "__main__":
    main(**arguments())
