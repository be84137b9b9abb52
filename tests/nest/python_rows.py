"""The handlers of ``rows.py`` and a few of its own, in a Python server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from kafka_patterns import (
    KafkaContext,
    KafkaRetriableException,
    Message,
    RpcException,
    ServerKafka,
    use_filters,
)
from tests.nest.rows import ROWS_BY_NAME

Handler = Callable[..., Any]


@attrs.frozen
class Dragon:
    """A typed payload."""

    id: int
    name: str


class EventLog:
    """What event handlers were given, in order; waited for by tests."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[dict[str, Any]] = []

    def add(self, row: str, payload: Any, context: KafkaContext) -> None:
        """Note one delivery."""
        entry = {
            "row": row,
            "payload": payload,
            "key": context.message.key,
            "headers": context.message.headers,
        }
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def wait_for(self, row: str, payload: Any, timeout: float = 30.0) -> dict[str, Any]:
        """Return the first delivery of *payload* to *row*."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._matching(row, payload), timeout)
            assert arrived, f"{row} never got {payload!r}; it got {self._entries}"
            return self._matching(row, payload)[0]

    def _matching(self, row: str, payload: Any) -> list[dict[str, Any]]:
        return [
            entry for entry in self._entries if (entry["row"], entry["payload"]) == (row, payload)
        ]


def returning(value: Any) -> Handler:
    """A handler that returns *value* whatever it is asked."""

    def handle(payload: Any) -> Any:
        return value

    return handle


def raising(make_error: Callable[[], Exception]) -> Handler:
    """A handler that fails."""

    def handle(payload: Any) -> Any:
        raise make_error()

    return handle


def yielding(
    *values: Any,
    pause: float = 0.0,
    end: float = 0.0,
    make_error: Callable[[], Exception] | None = None,
) -> Handler:
    """A generator handler: takes *pause* seconds for each value and *end* seconds to finish."""

    def handle(payload: Any) -> Iterator[Any]:
        working = threading.Event()
        for value in values:
            working.wait(pause)
            yield value
        working.wait(end)
        if make_error is not None:
            raise make_error()

    return handle


TABLE_HANDLERS: dict[str, Handler] = {
    "null": returning(None),
    "text": returning("text"),
    "empty-text": returning(""),
    "text-like-json": returning('{"looks":"like json"}'),
    "number": returning(5),
    "float-number": returning(2.5),
    "boolean": returning(False),
    "object": returning({"answer": 42, "nested": {"list": [1, None, "ä😀"]}}),
    "array": returning([1, "two", {"three": 3}]),
    "empty-array": returning([]),
    "buffer": returning(b"plain bytes"),
    "binary-buffer": returning(b"\x00\x01\x02\xff"),
    "envelope": returning(
        {
            "key": "realm-key",
            "value": {"inside": True},
            "headers": {"realm": "Nest", "raw": b"\x00\x07"},
        }
    ),
    "envelope-object-key": returning({"key": {"id": 1}, "value": "with object key"}),
    "envelope-null-value": returning({"key": "lonely", "value": None}),
    "interval": yielding(0, 1, 2, pause=0.02),
    "generator": yielding(1, 2, 3),
    "late-completion": yielding(1, 2, end=0.3),
    "mixed-stream": yielding({"n": 1}, None, "three", [4]),
    "empty": yielding(),
    "rpc-text": raising(lambda: RpcException("boom")),
    "rpc-object": raising(lambda: RpcException({"code": 4, "message": "m"})),
    "rpc-array": raising(lambda: RpcException([1, 2])),
    "rpc-number": raising(lambda: RpcException(5)),
    "rpc-empty-text": raising(lambda: RpcException("")),
    "rpc-undefined": raising(RpcException),
    "rpc-non-ascii": raising(lambda: RpcException("größer 😀")),
    "throw-error": raising(lambda: RuntimeError("secret")),
    "values-then-rpc": yielding(1, 2, make_error=lambda: RpcException("late")),
    "values-then-error": yielding(1, 2, make_error=lambda: RuntimeError("secret")),
    "retriable-after-value": yielding(1, make_error=lambda: KafkaRetriableException("again")),
}

PYTHON_TABLE = [ROWS_BY_NAME[name] for name in TABLE_HANDLERS]


class ReplyWithTheFailure:
    """A filter whose return value is the reply."""

    def catch(self, exception: BaseException, context: KafkaContext) -> Any:
        """Tell the caller in words."""
        return f"filtered {exception}"


class RaiseAnotherError:
    """A filter that raises what the caller gets."""

    def catch(self, exception: BaseException, context: KafkaContext) -> Any:
        """Replace the error."""
        raise RpcException({"code": "filtered"})


def echo(payload: Any, context: KafkaContext) -> dict[str, Any]:
    """Say what arrived; a Buffer is said as Node writes it in JSON."""
    binary = isinstance(payload, bytes)
    return {
        "payload": {"type": "Buffer", "data": list(payload)} if binary else payload,
        "messageKey": context.message.key,
        "headers": context.message.headers,
        "partition": context.partition,
    }


def typed(dragon: Dragon) -> Dragon:
    """Give back a structured payload, one older."""
    return Dragon(dragon.id + 1, dragon.name)


def raw_text(body: str) -> dict[str, Any]:
    """Say the unparsed body as text."""
    return {"text": body}


def raw_bytes(body: bytes) -> dict[str, Any]:
    """Say the unparsed body as numbers."""
    return {"bytes": list(body)}


def attempts(payload: Any, context: KafkaContext) -> int:
    """Fail until the third delivery, then tell which one it was."""
    if context.attempt < 3:
        raise KafkaRetriableException("again")
    return context.attempt


@use_filters(ReplyWithTheFailure())
def filtered_reply(payload: Any) -> Any:
    """Fail into a filter that replies."""
    raise RuntimeError("failure")


@use_filters(RaiseAnotherError())
def filtered_error(payload: Any) -> Any:
    """Fail into a filter that raises."""
    raise RuntimeError("failure")


TOOL_HANDLERS: dict[str, Handler] = {
    "message": returning(
        Message(
            key="realm-key",
            value={"inside": True},
            headers=[("realm", "Nest"), ("raw", b"\x00\x07")],
        )
    ),
    "envelope-and-more": returning({"value": "kept", "lost": True}),
    "unserialisable": returning(object()),
    "echo": echo,
    "identity": lambda payload: payload,
    "typed": typed,
    "raw-text": raw_text,
    "raw-bytes": raw_bytes,
    "attempts": attempts,
    "filtered-reply": filtered_reply,
    "filtered-error": filtered_error,
}

PYTHON_PATTERNS = [*TABLE_HANDLERS, *TOOL_HANDLERS, "event", "event-twice"]


def register_rows(server: ServerKafka, prefix: str, log: EventLog) -> None:
    """Give *server* every handler under *prefix*; events are noted in *log*."""
    for name, handler in {**TABLE_HANDLERS, **TOOL_HANDLERS}.items():
        server.message_pattern(prefix + name)(handler)

    @server.event_pattern(prefix + "event")
    def event(payload: Any, context: KafkaContext) -> None:
        log.add("event", payload, context)

    @server.event_pattern(prefix + "event-twice")
    def first(payload: Any, context: KafkaContext) -> None:
        log.add("event-twice/first", payload, context)

    @server.event_pattern(prefix + "event-twice")
    def second(payload: Any, context: KafkaContext) -> None:
        log.add("event-twice/second", payload, context)
