"""What a NestJS server sends for every outcome of a message handler, and what callers get.

The names are those of ``peer/rows.mjs`` (a handler in a NestJS server) and of
``python_rows.py`` (the same handler in a Python server).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

NO_MESSAGE_HANDLER = "There is no matching message handler defined in the remote service."
INTERNAL_SERVER_ERROR = b'{"status":"error","message":"Internal server error"}'


@attrs.frozen
class Reply:
    """One record of a reply: what stands in it beside the correlation id."""

    value: bytes | None = None
    error: bytes | None = None
    disposed: bool = True
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@attrs.frozen
class Row:
    """One outcome of a handler.

    :param wire: the records on the reply topic.
    :param items: what ``client.stream`` of the Python client yields.
    :param error: ``RpcException.error`` after the items, if ``fails``.
    :param nest_values: what NestJS's client emits, where it is not the same as *items*.
    """

    name: str
    wire: list[Reply]
    items: list[Any] = attrs.field(factory=list)
    error: Any = None
    fails: bool = False
    nest_values: list[Any] | None = None

    @property
    def values_for_nest(self) -> list[Any]:
        """What NestJS's client emits for this row."""
        return self.items if self.nest_values is None else self.nest_values


def one(name: str, value: bytes | None, item: Any, **reply: Any) -> Row:
    """A row of a single reply that ends the request."""
    return Row(name, [Reply(value, **reply)], [item])


def many(name: str, *values: tuple[bytes | None, Any]) -> Row:
    """A row of several replies, the last of which ends the request."""
    last = len(values) - 1
    wire = [Reply(value, disposed=index == last) for index, (value, _) in enumerate(values)]
    return Row(name, wire, [item for _, item in values])


def failing(name: str, error: bytes, seen: Any, *values: tuple[bytes, Any]) -> Row:
    """A row of an error reply, after the replies that came before it."""
    wire = [Reply(value, disposed=False) for value, _ in values]
    return Row(name, [*wire, Reply(error=error)], [item for _, item in values], seen, fails=True)


def rejected(name: str, error: bytes, message: Mapping[str, Any], *values: Any) -> Row:
    """A row whose error is the object that NestJS makes of an exception."""
    return failing(name, error, {"status": "error", **message}, *values)


UNKNOWN = {"message": "Internal server error"}
ONE_AND_TWO = ((b"1", "1"), (b"2", "2"))

ROWS = [
    one("undefined", None, None),
    one("null", None, None),
    one("text", b"text", "text"),
    one("empty-text", b"", ""),
    one("text-like-json", b'{"looks":"like json"}', {"looks": "like json"}),
    one("number", b"5", "5"),
    one("float-number", b"2.5", "2.5"),
    one("boolean", b"false", "false"),
    one(
        "object",
        '{"answer":42,"nested":{"list":[1,null,"ä😀"]}}'.encode(),
        {"answer": 42, "nested": {"list": [1, None, "ä😀"]}},
    ),
    one("array", b'[1,"two",{"three":3}]', [1, "two", {"three": 3}]),
    one("empty-array", b"[]", []),
    one("buffer", b"plain bytes", "plain bytes"),
    one("binary-buffer", b"\x00\x01\x02\xff", b"\x00\x01\x02\xff"),
    one(
        "envelope",
        b'{"inside":true}',
        {"inside": True},
        key=b"realm-key",
        headers=(("realm", b"Nest"), ("raw", b"\x00\x07")),
    ),
    one("envelope-object-key", b"with object key", "with object key", key=b'{"id":1}'),
    one("envelope-null-value", None, None, key=b"lonely"),
    one("envelope-and-more", b"kept", "kept"),
    one("key-and-more", None, None, key=b"kept"),
    one("promise", b"promised", "promised"),
    many("promise-of-observable", (b"a", "a"), (b"b", "b")),
    many("of", (b"1", "1"), (b"2", "2"), (b"3", "3")),
    many("interval", (b"0", "0"), (b"1", "1"), (b"2", "2")),
    many("generator", (b"1", "1"), (b"2", "2"), (b"3", "3")),
    Row(
        "late-completion",
        [Reply(b"1", disposed=False), Reply(b"2", disposed=False), Reply()],
        ["1", "2"],
        nest_values=["1", "2", None],
    ),
    many("mixed-stream", (b'{"n":1}', {"n": 1}), (None, None), (b"three", "three"), (b"[4]", [4])),
    one("empty", None, None),
    rejected("rpc-text", b'{"status":"error","message":"boom"}', {"message": "boom"}),
    failing("rpc-object", b'{"code":4,"message":"m"}', {"code": 4, "message": "m"}),
    failing("rpc-array", b"[1,2]", [1, 2]),
    rejected("rpc-number", b'{"status":"error","message":5}', {"message": 5}),
    rejected("rpc-empty-text", b'{"status":"error","message":""}', {"message": ""}),
    rejected("rpc-undefined", b'{"status":"error"}', {}),
    rejected(
        "rpc-non-ascii",
        '{"status":"error","message":"größer 😀"}'.encode(),
        {"message": "größer 😀"},
    ),
    failing("rpc-error-object", b"{}", {}),
    rejected("throw-error", INTERNAL_SERVER_ERROR, UNKNOWN),
    rejected("throw-text", INTERNAL_SERVER_ERROR, UNKNOWN),
    rejected("throw-http", INTERNAL_SERVER_ERROR, UNKNOWN),
    rejected(
        "values-then-rpc",
        b'{"status":"error","message":"late"}',
        {"message": "late"},
        *ONE_AND_TWO,
    ),
    rejected("values-then-error", INTERNAL_SERVER_ERROR, UNKNOWN, *ONE_AND_TWO),
    failing(
        "retriable-after-value",
        b'{"error":"again","message":"again"}',
        {"error": "again", "message": "again"},
        (b"1", "1"),
    ),
    rejected(
        "guard",
        b'{"status":"error","message":"Forbidden resource"}',
        {"message": "Forbidden resource"},
    ),
    failing("filter-text", b"raw", "raw"),
    one("filter-falsy", None, None),
    failing("filter-error", b"{}", {}),
    Row(
        "no-handler",
        [Reply(error=NO_MESSAGE_HANDLER.encode(), disposed=False)],
        error=NO_MESSAGE_HANDLER,
        fails=True,
    ),
]

ROWS_BY_NAME = {row.name: row for row in ROWS}

TOOL_ROWS = ["retriable-first", "filter-number", "echo", "identity", "slow", "shared"]
"""Message handlers of ``peer/rows.mjs`` that are no row of the table, but used by tests."""

EVENT_ROWS = ["event", "event-twice"]
