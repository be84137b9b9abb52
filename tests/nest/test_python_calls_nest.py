"""A Python client and a NestJS server: requests, streams, errors and events."""

from __future__ import annotations

import uuid
from operator import attrgetter
from typing import Any

import attrs
import pytest

from kafka_patterns import ClientKafkaProxy, Message, RequestTimeout, RpcException
from tests.nest.peers import NestServer
from tests.nest.rows import ROWS, Row
from tests.nest.wire import CORRELATION_ID, DEADLINE, REPLY_PARTITION, REPLY_TOPIC

pytestmark = [pytest.mark.nest, pytest.mark.timeout(180)]

TIMEOUT = 15.0
SILENCE = 1.5

FIRST_SUCCEEDS = [row for row in ROWS if row.items]
FIRST_FAILS = [row for row in ROWS if not row.items]


@attrs.frozen
class Dragon:
    """A typed request and reply."""

    id: int
    name: str
    heads: list[int]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("name"))
def test_stream_yields_what_nest_replied(
    python_client: ClientKafkaProxy, nest_server: NestServer, row: Row
) -> None:
    items: list[Any] = []

    def exhaust() -> None:
        items.extend(python_client.stream(nest_server.prefix + row.name, "go", timeout=TIMEOUT))

    if row.fails:
        with pytest.raises(RpcException) as caught:
            exhaust()
        assert caught.value.error == row.error
    else:
        exhaust()

    assert items == row.items


@pytest.mark.parametrize("row", FIRST_SUCCEEDS, ids=attrgetter("name"))
def test_send_returns_the_first_reply_of_nest(
    python_client: ClientKafkaProxy, nest_server: NestServer, row: Row
) -> None:
    reply = python_client.send(nest_server.prefix + row.name, "go", timeout=TIMEOUT)

    assert reply == row.items[0]
    assert type(reply) is type(row.items[0])


@pytest.mark.parametrize("row", FIRST_FAILS, ids=attrgetter("name"))
def test_send_raises_the_error_of_nest(
    python_client: ClientKafkaProxy, nest_server: NestServer, row: Row
) -> None:
    with pytest.raises(RpcException) as caught:
        python_client.send(nest_server.prefix + row.name, "go", timeout=TIMEOUT)

    assert caught.value.error == row.error


def test_a_request_that_nest_retries_gets_the_reply_of_the_second_delivery(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    payload = uuid.uuid4().hex

    reply = python_client.send(nest_server.prefix + "retriable-first", payload, timeout=30)

    assert reply == f"again {payload}"


@pytest.mark.parametrize("row", ["filter-number", "event"])
def test_a_request_that_nest_never_answers_times_out(
    python_client: ClientKafkaProxy, nest_server: NestServer, row: str
) -> None:
    payload = uuid.uuid4().hex

    with pytest.raises(RequestTimeout):
        python_client.send(nest_server.prefix + row, payload, timeout=SILENCE)

    if row == "event":
        assert nest_server.wait_for_event("event", payload)


def test_a_reply_after_the_timeout_reaches_nobody(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    slow = nest_server.prefix + "slow"
    with pytest.raises(RequestTimeout):
        python_client.send(slow, {"milliseconds": 800, "call": 1}, timeout=0.2)

    reply = python_client.send(slow, {"milliseconds": 1000, "call": 2}, timeout=TIMEOUT)

    assert reply == {"milliseconds": 1000, "call": 2}


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        ("text", "text"),
        ("", ""),
        ("größer 😀", "größer 😀"),
        ('{"looks":"like json"}', {"looks": "like json"}),
        ("{not json", "{not json"),
        (5, "5"),
        (-2.5, "-2.5"),
        (True, "true"),
        (False, "false"),
        ({"a": {"b": [1, None, "ä😀"]}}, {"a": {"b": [1, None, "ä😀"]}}),
        ({}, {}),
        ([1, "two", [3]], [1, "two", [3]]),
        (b"plain bytes", "plain bytes"),
        (b"\x00\x01\xff", {"type": "Buffer", "data": [0, 1, 255]}),
        (Message(value={"x": 1}), {"x": 1}),
        ({"value": {"x": 1}}, {"x": 1}),
    ],
    ids=repr,
)
def test_nest_sees_the_payload_that_python_sent(
    python_client: ClientKafkaProxy, nest_server: NestServer, payload: Any, seen: Any
) -> None:
    reply = python_client.send(nest_server.prefix + "echo", payload, timeout=TIMEOUT)

    assert (reply["payload"], reply["wholeMessage"]) == (seen, False)
    assert reply["messageKey"] is None


@pytest.mark.parametrize("payload", [None, Message(value=None), {"value": None}], ids=repr)
def test_none_reaches_nest_as_a_kafka_null(
    python_client: ClientKafkaProxy, nest_server: NestServer, payload: Any
) -> None:
    reply = python_client.send(nest_server.prefix + "echo", payload, timeout=TIMEOUT)

    assert reply["wholeMessage"] is True


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "k", "value": {"x": 1}, "headers": {"realm": "Nest", "raw": b"\x00\x02"}},
        Message(key="k", value={"x": 1}, headers={"realm": "Nest", "raw": b"\x00\x02"}),
    ],
    ids=["mapping", "Message"],
)
def test_nest_sees_key_and_headers_of_an_envelope(
    python_client: ClientKafkaProxy, nest_server: NestServer, payload: Any
) -> None:
    pattern = nest_server.prefix + "echo"

    reply = python_client.send(pattern, payload, timeout=TIMEOUT)

    headers = reply["headers"]
    assert (reply["payload"], reply["messageKey"]) == ({"x": 1}, "k")
    assert headers["realm"] == "Nest"
    assert headers["raw"] == {"type": "Buffer", "data": [0, 2]}
    assert headers[REPLY_TOPIC] == f"{pattern}.reply"
    assert headers[REPLY_PARTITION] == "0"
    assert set(headers) == {"realm", "raw", CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION, DEADLINE}


def test_the_senders_object_is_not_changed(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    envelope = {"key": {"id": 1}, "value": {"x": 1}, "headers": {"realm": "Nest"}}

    replies = [
        python_client.send(nest_server.prefix + "identity", envelope, timeout=TIMEOUT)
        for _ in range(2)
    ]

    assert envelope == {"key": {"id": 1}, "value": {"x": 1}, "headers": {"realm": "Nest"}}
    assert replies == [{"x": 1}, {"x": 1}]


def test_a_reply_of_nest_is_structured_by_returns(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    dragon = Dragon(3, "Fafnir", [1, 2])

    reply = python_client.send(
        nest_server.prefix + "identity", dragon, timeout=TIMEOUT, returns=Dragon
    )

    assert reply == dragon


def test_every_future_gets_the_reply_to_its_own_request(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    pattern = nest_server.prefix + "identity"

    futures = [python_client.send_future(pattern, {"call": number}) for number in range(200)]

    assert [future.result(TIMEOUT) for future in futures] == [{"call": n} for n in range(200)]


def test_nest_handles_an_event_that_python_emitted(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    payload = {"call": uuid.uuid4().hex}

    python_client.emit(nest_server.prefix + "event", payload)

    event = nest_server.wait_for_event("event", payload)
    assert (event["messageKey"], event["headers"]) == (None, {})


def test_nest_handles_an_event_with_key_and_headers(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    payload = {"call": uuid.uuid4().hex}

    python_client.emit_future(
        nest_server.prefix + "event",
        Message(key={"id": 7}, value=payload, headers={"realm": "Nest"}),
    ).result(TIMEOUT)

    event = nest_server.wait_for_event("event", payload)
    assert (event["messageKey"], event["headers"]) == ({"id": 7}, {"realm": "Nest"})


def test_nest_handles_a_null_event(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    key = uuid.uuid4().hex

    python_client.emit(nest_server.prefix + "event", Message(key=key, value=None))

    event = nest_server.wait_for(
        lambda line: line if line.get("event") == "event" and line["messageKey"] == key else None
    )
    assert event["wholeMessage"] is True


def test_both_handlers_of_nest_get_every_event_of_a_batch_in_order(
    python_client: ClientKafkaProxy, nest_server: NestServer
) -> None:
    batch = uuid.uuid4().hex
    payloads: list[Any] = [{"batch": batch, "item": item} for item in range(3)]

    python_client.emit_batch(
        nest_server.prefix + "event-twice",
        [payloads[0], payloads[1], Message(key="k", value=payloads[2], headers={"realm": "Nest"})],
    )

    def both_got_all(_: object) -> bool | None:
        counts = [len(nest_server.events("event-twice", payload)) for payload in payloads]
        return True if counts == [2, 2, 2] else None

    nest_server.wait_for(both_got_all)
    deliveries = [nest_server.events("event-twice", payload) for payload in payloads]
    assert [sorted(line["handler"] for line in lines) for lines in deliveries] == [[0, 1]] * 3
    offsets = [lines[0]["offset"] for lines in deliveries]
    assert offsets == list(range(offsets[0], offsets[0] + 3))
    assert (deliveries[2][0]["messageKey"], deliveries[2][0]["headers"]) == ("k", {"realm": "Nest"})
