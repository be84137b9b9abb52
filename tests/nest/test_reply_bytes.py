"""Requests, replies and events of both implementations, compared byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pytest

from kafka_patterns import ClientKafkaProxy, Message
from tests.nest.peers import NestClient, NestServer
from tests.nest.python_rows import PYTHON_TABLE
from tests.nest.rows import ROWS, ROWS_BY_NAME, Reply, Row
from tests.nest.wire import (
    CORRELATION_ID,
    DEADLINE,
    ERROR,
    IS_DISPOSED,
    REPLY_PARTITION,
    REPLY_TOPIC,
    Wire,
    WireRecord,
)

pytestmark = [pytest.mark.nest, pytest.mark.timeout(180)]

IN_TIME = [row for row in PYTHON_TABLE if row.name != "late-completion"]

NUMBERS = {"one": 1.0, "half": 0.5, "big": 1e21, "small": 1e-7, "int": 9007199254740991}
TEXTS = {"ä😀": 'quote " slash / \\ line \n \u2028 control \x01 delete \x7f'}


@pytest.fixture(scope="module")
def reply_topic(wire: Wire, python_prefix: str) -> str:
    """Where the replies to requests made by hand go."""
    topic = f"{python_prefix}by-hand.reply"
    wire.create_topics([topic])
    return topic


def replies_without_correlation(records: Sequence[WireRecord]) -> list[Reply]:
    """Read records as the table writes them; checks the order of the headers."""
    replies = []
    for record in records:
        names = record.header_names
        own = [name for name in (CORRELATION_ID, ERROR, IS_DISPOSED) if name in names]
        assert names[len(names) - len(own) :] == own
        headers = dict(record.headers)
        assert headers.get(IS_DISPOSED, b"\x00") == b"\x00"
        replies.append(
            Reply(
                record.value,
                error=headers.get(ERROR),
                disposed=IS_DISPOSED in headers,
                key=record.key,
                headers=tuple(record.headers[: len(names) - len(own)]),
            )
        )
    return replies


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("name"))
def test_nest_writes_the_replies_of_the_table(
    wire: Wire, reply_topic: str, nest_server: NestServer, row: Row
) -> None:
    records = wire.request(nest_server.prefix + row.name, reply_topic, b"go")

    assert replies_without_correlation(records) == row.wire


@pytest.mark.parametrize("row", IN_TIME, ids=attrgetter("name"))
def test_python_writes_the_same_replies_as_nest(
    wire: Wire, reply_topic: str, nest_server: NestServer, python_server: str, row: Row
) -> None:
    from_nest = wire.request(nest_server.prefix + row.name, reply_topic, b"go")

    from_python = wire.request(python_server + row.name, reply_topic, b"go")

    assert replies_without_correlation(from_python) == replies_without_correlation(from_nest)


def test_python_writes_a_message_as_nest_writes_an_envelope(
    wire: Wire, reply_topic: str, python_server: str
) -> None:
    records = wire.request(f"{python_server}message", reply_topic, b"go")

    assert replies_without_correlation(records) == ROWS_BY_NAME["envelope"].wire


def test_python_ends_a_stream_that_completes_late_as_nest_allows(
    wire: Wire, reply_topic: str, python_server: str
) -> None:
    records = wire.request(f"{python_server}late-completion", reply_topic, b"go")

    one, two = Reply(b"1", disposed=False), Reply(b"2", disposed=False)
    assert replies_without_correlation(records) in (
        [one, two, Reply()],
        [one, Reply(b"2", disposed=True)],
    )


@pytest.mark.parametrize(
    "payload",
    [
        ("text", "text"),
        ("", ""),
        (5, 5),
        (-2.5, -2.5),
        (1.0, 1.0),
        (True, True),
        (None, {"value": None}),
        ({}, {}),
        ([], []),
        ({"a": {"b": [1, None, "ä😀"]}}, {"a": {"b": [1, None, "ä😀"]}}),
        (NUMBERS, NUMBERS),
        (TEXTS, TEXTS),
        ([1, "two", [3]], [1, "two", [3]]),
        (b"plain bytes", b"plain bytes"),
        (b"\x00\x01\xff", b"\x00\x01\xff"),
        ({"headers": {"h": "1"}}, {"headers": {"h": "1"}}),
        ({"key": "k", "value": {"x": 1}}, {"key": "k", "value": {"x": 1}}),
        ({"key": {"id": 1}, "value": "v"}, {"key": {"id": 1}, "value": "v"}),
        (
            Message(key=7, value=[1], headers={"h": "1", "raw": b"\x00\x02"}),
            {"key": 7, "value": [1], "headers": {"h": "1", "raw": b"\x00\x02"}},
        ),
    ],
    ids=repr,
)
def test_python_writes_the_same_request_and_event_as_nest(
    wire: Wire,
    nest_server: NestServer,
    nest_client: NestClient,
    python_client: ClientKafkaProxy,
    payload: tuple[Any, Any],
) -> None:
    for_python, for_nest = payload
    request = nest_server.prefix + "identity"
    event = nest_server.prefix + "event"

    (nest_request,) = wire.written_by(request, lambda: nest_client.send(request, for_nest))
    (python_request,) = wire.written_by(request, lambda: python_client.send(request, for_python))
    (nest_event,) = wire.written_by(event, lambda: nest_client.emit(event, for_nest))
    (python_event,) = wire.written_by(event, lambda: python_client.emit(event, for_python))

    assert python_event == nest_event
    assert_same_request(python_request, nest_request)


def assert_same_request(python_request: WireRecord, nest_request: WireRecord) -> None:
    """Compare all but the correlation ids, which are unique, and the deadline, which is ours."""
    assert (python_request.key, python_request.value) == (nest_request.key, nest_request.value)
    assert python_request.header_names == [*nest_request.header_names, DEADLINE]
    for name in set(nest_request.header_names) - {CORRELATION_ID}:
        assert python_request.header(name) == nest_request.header(name)
    assert nest_request.header_names[-3:] == [CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION]
    assert python_request.header(CORRELATION_ID)[:1] not in (b"{", b"[", b"\x00", b"")
    assert python_request.header(DEADLINE).isdigit()


def test_python_writes_the_same_batch_as_nest(
    wire: Wire, nest_server: NestServer, nest_client: NestClient, python_client: ClientKafkaProxy
) -> None:
    event = nest_server.prefix + "event-twice"
    items: list[Any] = [{"id": 1}, "text", 5, {"key": "k", "value": [1], "headers": {"h": "1"}}]

    from_nest = wire.written_by(event, lambda: nest_client.emit_batch(event, [*items, None]), 5)
    from_python = wire.written_by(event, lambda: python_client.emit_batch(event, [*items, None]), 5)

    assert from_python == from_nest


@pytest.mark.parametrize(
    "key", ["", "k", "größer 😀", 0, 7, -12345, 2.5, True, b"bytes", b"\x00\xff", {"id": 1}, [1, 2]]
)
def test_python_puts_a_key_into_the_same_partition_as_nest(
    wire: Wire,
    spread_topic: str,
    nest_client: NestClient,
    python_client: ClientKafkaProxy,
    key: Any,
) -> None:
    (from_nest,) = wire.written_by(
        spread_topic, lambda: nest_client.emit(spread_topic, {"key": key, "value": "v"})
    )
    (from_python,) = wire.written_by(
        spread_topic, lambda: python_client.emit(spread_topic, Message(key=key, value="v"))
    )

    assert from_python == from_nest


@pytest.fixture(scope="module")
def spread_topic(wire: Wire, python_prefix: str) -> str:
    """A topic with a number of partitions that no small key hits by chance."""
    topic = f"{python_prefix}spread"
    wire.create_topics([topic], partitions=17)
    return topic
