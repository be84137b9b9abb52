"""A WSGI application each of whose requests sends one to a server: ``make_application``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from kafka_patterns import ClientKafkaProxy

__all__ = ["make_application"]

_TIMEOUT = 20.0

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_application(given: str) -> Application:
    """The application; the client connects before gunicorn forks its workers.

    :param given: options, the pattern, and whether to connect now, as JSON.
    """
    arguments = json.loads(given)
    pattern = arguments["pattern"]
    client = ClientKafkaProxy(arguments["options"])
    client.subscribe_to_response_of(pattern)
    if arguments["connect"]:
        client.connect()

    def application(
        environment: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        reply = client.send(pattern, {"path": environment["PATH_INFO"]}, timeout=_TIMEOUT)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({**reply, "worker": os.getpid()}).encode()]

    return application
