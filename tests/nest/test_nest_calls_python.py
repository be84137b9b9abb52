"""A NestJS client and a Python server: requests, streams, errors and events."""

from __future__ import annotations

import uuid
from operator import attrgetter
from typing import Any

import pytest

from tests.nest.peers import NestClient, NestOutcome
from tests.nest.python_rows import PYTHON_TABLE, EventLog
from tests.nest.rows import NO_MESSAGE_HANDLER, Row
from tests.nest.wire import CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC

pytestmark = [pytest.mark.nest, pytest.mark.timeout(180)]

IN_TIME = [row for row in PYTHON_TABLE if row.name != "late-completion"]


def completed(*values: Any) -> NestOutcome:
    """An observable that emitted *values* and completed."""
    return NestOutcome(list(values), completed=True)


@pytest.mark.parametrize("row", IN_TIME, ids=attrgetter("name"))
def test_nest_gets_what_a_nest_server_would_give(
    nest_client: NestClient, python_server: str, row: Row
) -> None:
    outcome = nest_client.send(python_server + row.name, "go")

    if row.fails:
        assert outcome == NestOutcome(row.values_for_nest, error=row.error)
    else:
        assert outcome == completed(*row.values_for_nest)


def test_nest_gets_the_values_of_a_generator_that_ends_late(
    nest_client: NestClient, python_server: str
) -> None:
    outcome = nest_client.send(python_server + "late-completion", "go")

    assert outcome.completed
    assert outcome.values[:2] == ["1", "2"]
    assert outcome.values[2:] in ([], [None])


def test_nest_gets_the_value_of_a_message(nest_client: NestClient, python_server: str) -> None:
    assert nest_client.send(python_server + "message", "go") == completed({"inside": True})


def test_a_retriable_request_is_answered_by_a_later_delivery(
    nest_client: NestClient, python_server: str
) -> None:
    outcome = nest_client.send(python_server + "attempts", "go", timeout=30)

    assert outcome == completed("3")


def test_a_filter_replies_to_nest(nest_client: NestClient, python_server: str) -> None:
    assert nest_client.send(python_server + "filtered-reply", "go") == completed("filtered failure")


def test_a_filter_decides_the_error_that_nest_gets(
    nest_client: NestClient, python_server: str
) -> None:
    outcome = nest_client.send(python_server + "filtered-error", "go")

    assert outcome == NestOutcome([], error={"code": "filtered"})


@pytest.mark.parametrize("row", ["unserialisable", "envelope-and-more"])
def test_a_reply_that_cannot_be_written_is_answered_with_an_error(
    nest_client: NestClient, python_server: str, row: str
) -> None:
    outcome = nest_client.send(python_server + row, "go")

    assert (outcome.values, outcome.timed_out) == ([], False)
    assert outcome.error["status"] == "error"


def test_a_request_to_an_event_handler_is_handled_and_answered_with_an_error(
    nest_client: NestClient, python_server: str, event_log: EventLog
) -> None:
    payload = {"call": uuid.uuid4().hex}

    outcome = nest_client.send(python_server + "event", payload)

    assert outcome == NestOutcome([], error=NO_MESSAGE_HANDLER)
    assert event_log.wait_for("event", payload)["headers"][REPLY_TOPIC]


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ("text", "text"),
        ("", ""),
        ("größer 😀", "größer 😀"),
        ('{"looks":"like json"}', {"looks": "like json"}),
        ("{not json", "{not json"),
        (5, "5"),
        (-2.5, "-2.5"),
        (True, "true"),
        ({"value": None}, None),
        ({"a": {"b": [1, None, "ä😀"]}}, {"a": {"b": [1, None, "ä😀"]}}),
        ([1, "two", [3]], [1, "two", [3]]),
        (b"plain bytes", "plain bytes"),
        (b"\x00\x01\xff", b"\x00\x01\xff"),
    ],
    ids=repr,
)
def test_python_sees_the_payload_that_nest_sent(
    nest_client: NestClient, python_server: str, data: Any, seen: Any
) -> None:
    outcome = nest_client.send(python_server + "echo", data)

    (reply,) = outcome.values
    assert (reply["payload"], reply["messageKey"]) == (seen, None)


def test_python_sees_key_and_headers_of_an_envelope(
    nest_client: NestClient, python_server: str
) -> None:
    pattern = python_server + "echo"

    outcome = nest_client.send(
        pattern, {"key": {"id": 1}, "value": {"x": 1}, "headers": {"realm": "Nest", "list": "[1]"}}
    )

    (reply,) = outcome.values
    headers = reply["headers"]
    assert (reply["payload"], reply["messageKey"]) == ({"x": 1}, {"id": 1})
    assert (headers["realm"], headers["list"]) == ("Nest", [1])
    assert (headers[REPLY_TOPIC], headers[REPLY_PARTITION]) == (f"{pattern}.reply", "0")
    assert set(headers) == {"realm", "list", CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION}


def test_a_request_of_nest_is_structured_by_the_annotation(
    nest_client: NestClient, python_server: str
) -> None:
    outcome = nest_client.send(python_server + "typed", {"id": 3, "name": "Fafnir"})

    assert outcome == completed({"id": 4, "name": "Fafnir"})


@pytest.mark.parametrize("data", [{"id": "3", "name": "Fafnir"}, {"name": "Fafnir"}, "no object"])
def test_a_request_of_nest_that_does_not_fit_is_answered_with_an_error(
    nest_client: NestClient, python_server: str, data: Any
) -> None:
    outcome = nest_client.send(python_server + "typed", data)

    assert (outcome.values, outcome.timed_out) == ([], False)
    assert outcome.error["status"] == "error"


def test_str_and_bytes_annotations_take_the_raw_body(
    nest_client: NestClient, python_server: str
) -> None:
    text = nest_client.send(python_server + "raw-text", {"a": 1})
    body = nest_client.send(python_server + "raw-bytes", b"\x00\xff")

    assert text == completed({"text": '{"a":1}'})
    assert body == completed({"bytes": [0, 255]})


def test_python_handles_an_event_that_nest_emitted(
    nest_client: NestClient, python_server: str, event_log: EventLog
) -> None:
    payload = {"call": uuid.uuid4().hex}

    nest_client.emit(
        python_server + "event", {"key": "k", "value": payload, "headers": {"realm": "Nest"}}
    )

    entry = event_log.wait_for("event", payload)
    assert (entry["key"], entry["headers"]) == ("k", {"realm": "Nest"})


def test_both_handlers_of_python_get_every_event_of_a_batch(
    nest_client: NestClient, python_server: str, event_log: EventLog
) -> None:
    batch = uuid.uuid4().hex
    payloads = [{"batch": batch, "item": item} for item in range(3)]

    nest_client.emit_batch(python_server + "event-twice", payloads)

    for payload in payloads:
        for handler in ("first", "second"):
            entry = event_log.wait_for(f"event-twice/{handler}", payload)
            assert (entry["key"], entry["headers"]) == (None, {})
