"""The process of the embedded broker.

``python -m kafka_patterns.testing.broker --topic hero.kill.dragon:3`` prints the bootstrap
addresses and serves until Ctrl-C or SIGTERM. With ``--control``, which
:class:`~kafka_patterns.testing.EmbeddedBroker` uses, it takes commands on standard input and
answers on standard output, one JSON object a line, and ends with its standard input or its
parent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.testing.service import BrokerService

__all__ = ["main"]

_PARENT_CHECK_SECONDS = 1.0
_HIGHEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker until it is told to end; return the exit code of the process."""
    return asyncio.run(_run(_parse(arguments)))


async def _run(options: argparse.Namespace) -> int:
    try:
        service = BrokerService(brokers=options.brokers, port=options.port)
        await service.open()
        for topic, partitions in options.topic:
            await service.carry_out("create_topic", {"topic": topic, "partitions": partitions})
    except ConfigurationError as error:
        _report_failure(str(error), control=options.control)
        return 1
    if options.control:
        await _serve_commands(service)
    else:
        print(",".join(service.bootstrap_servers), flush=True)
        await _signal_to_stop()
    service.close()
    return 0


async def _signal_to_stop() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kafka_patterns.testing.broker",
        description="An in-memory Kafka broker for demos and tests. Everything is lost when "
        "it ends; a topic nobody created gets 4 partitions when it is first used.",
    )
    parser.add_argument(
        "--topic",
        action="append",
        default=[],
        type=_topic,
        metavar="NAME[:PARTITIONS]",
        help="create this topic at the start; may be repeated",
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="where to listen; 0, the default, finds a free one"
    )
    parser.add_argument("--brokers", type=_positive, default=1, help="how many; default 1")
    parser.add_argument("--control", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _topic(text: str) -> tuple[str, int]:
    name, separator, partitions = text.partition(":")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} has no topic name")
    return name, _positive(partitions) if separator else 1


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to {_HIGHEST_PORT})")
    return int(text)


def _report_failure(text: str, *, control: bool) -> None:
    if control:
        _answer({"error": text})
    else:
        print(text, file=sys.stderr)


async def _serve_commands(service: BrokerService) -> None:
    """Obey standard input until it, or the parent process, ends.

    A process forked by the parent may hold the other end of the pipe open for longer than
    the parent lives; therefore both are watched.
    """
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    orphaned = asyncio.create_task(_end_of_parent(os.getppid()))
    orphaned.add_done_callback(lambda _task: lines.feed_eof())
    _answer({"result": service.bootstrap_servers})
    while line := await lines.readline():
        _answer(await _carry_out(service, json.loads(line)))
    orphaned.cancel()


async def _end_of_parent(process_id: int) -> None:
    while os.getppid() == process_id:
        await asyncio.sleep(_PARENT_CHECK_SECONDS)


async def _carry_out(service: BrokerService, request: dict[str, Any]) -> dict[str, Any]:
    try:
        await service.carry_out(request["command"], request["arguments"])
    except ConfigurationError as error:
        return {"error": str(error)}
    return {"result": None}


def _answer(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
