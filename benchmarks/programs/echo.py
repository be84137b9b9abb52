"""A server that returns what it is sent: ``python -m benchmarks.programs.echo '{...}'``."""

from __future__ import annotations

import json
import sys
from typing import Any

from kafka_patterns import ServerKafka

__all__ = ["main"]


def main(options: dict[str, Any], pattern: str) -> None:
    """Serve until SIGTERM."""
    server = ServerKafka(options)

    @server.message_pattern(pattern)
    def echo(payload: Any) -> Any:
        return payload

    server.status.subscribe(lambda status: print("status", status, flush=True))
    server.run()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
