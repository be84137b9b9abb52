"""Envelopes, headers, and what is checked of any serializer's result."""

from __future__ import annotations

import copy
from typing import Any

import attrs
import pytest

from kafka_patterns.errors import PayloadError
from kafka_patterns.message import EncodedMessage, Message, Record
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.serialization.envelope import encode_message
from kafka_patterns.serialization.error_header import decode_error, encode_error
from kafka_patterns.serialization.incoming import incoming_message
from kafka_patterns.serialization.json import JsonDeserializer, JsonSerializer
from kafka_patterns.serialization.message_headers import encode_headers


@attrs.define
class KeyValue:
    key: str
    value: int


def serialize(payload: Any) -> Message:
    return JsonSerializer().serialize(payload, topic="hero", pattern="hero")


def record(**changes: Any) -> Record:
    fields = {"topic": "t", "partition": 1, "offset": 7, "timestamp": 1700000000000}
    return Record(**{**fields, "key": None, "value": None, "headers": [], **changes})


def test_the_default_pair_fulfils_the_protocols() -> None:
    assert isinstance(JsonSerializer(), Serializer)
    assert isinstance(JsonDeserializer(), Deserializer)


def test_message_is_taken_as_it_is() -> None:
    message = Message(
        value={"key": 1}, key={"id": 2}, headers=[("a", "x"), ("a", None)], partition=3, timestamp=4
    )

    assert serialize(message) == Message(
        value=b'{"key":1}',
        key=b'{"id":2}',
        headers=[("a", b"x"), ("a", None)],
        partition=3,
        timestamp=4,
    )


@pytest.mark.parametrize(
    ("payload", "value", "key"),
    [
        ({"value": {"a": 1}}, b'{"a":1}', None),
        ({"key": "k"}, None, b"k"),
        ({"key": 1, "value": None, "headers": None}, None, b"1"),
        ({"key": "", "value": ""}, b"", b""),
    ],
)
def test_mapping_with_key_or_value_is_an_envelope(
    payload: Any, value: bytes | None, key: bytes | None
) -> None:
    assert serialize(payload) == Message(value=value, key=key, headers=[])


def test_envelope_sets_headers_partition_and_timestamp() -> None:
    message = serialize({"value": 1, "headers": {"h": "x"}, "partition": 2, "timestamp": 3})

    assert message == Message(value=b"1", headers=[("h", b"x")], partition=2, timestamp=3)


@pytest.mark.parametrize("foreign", ["id", "Key", 5])
def test_half_an_envelope_is_refused_instead_of_losing_data(foreign: Any) -> None:
    with pytest.raises(PayloadError, match=rf"topic 'hero'.*{foreign!r}.*Message\(value=\.\.\.\)"):
        serialize({"key": "k", foreign: 1})


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ({"headers": {"a": 1}}, b'{"headers":{"a":1}}'),
        ({"partition": 1, "timestamp": 2}, b'{"partition":1,"timestamp":2}'),
        (KeyValue("k", 1), b'{"key":"k","value":1}'),
        ([{"key": "k", "id": 1}], b'[{"key":"k","id":1}]'),
    ],
)
def test_everything_else_is_a_payload(payload: Any, value: bytes) -> None:
    assert serialize(payload) == Message(value=value, headers=[])


def test_callers_object_is_never_changed() -> None:
    envelope = {"key": {"id": 1.0}, "value": {"a": {2, 1}}, "headers": {"h": "x"}}
    before = copy.deepcopy(envelope)

    first, second = serialize(envelope), serialize(envelope)

    assert envelope == before
    assert first == second


def test_unwritable_payload_names_the_topic() -> None:
    with pytest.raises(PayloadError, match=r"message for topic 'hero': .* at \$\.a"):
        serialize({"a": object()})


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [
        (None, []),
        ({}, []),
        ([], []),
        ({"a": "ü", "b": b"\xff"}, [("a", "ü".encode()), ("b", b"\xff")]),
        ([("a", "x"), ["a", b"y"], ("b", None)], [("a", b"x"), ("a", b"y"), ("b", None)]),
    ],
)
def test_headers_become_pairs_of_bytes(headers: Any, pairs: Any) -> None:
    assert encode_headers(headers) == pairs


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"count": 5}, "header 'count' must be str or bytes, not int; give str"),
        ({"flag": True}, "header 'flag' must be str or bytes, not bool"),
        ({"none": None}, "header 'none' must be str or bytes, not NoneType; leave it out"),
        ({"list": ["a", "b"]}, "header 'list' must be str or bytes, not list; give pairs"),
        ([("a", 1)], "header 'a' must be str or bytes, not int"),
        ({5: "x"}, "name must be a non-empty text, not 5"),
        ({"": "x"}, "name must be a non-empty text, not ''"),
        ([("a",)], "pairs of a name and a value, not"),
        (["ab"], "pairs of a name and a value, not 'ab'"),
        ("a=b", "headers must be a mapping.*not str"),
        (5, "headers must be a mapping.*not int"),
        ({"a": "\ud800"}, "the value of header 'a' is no valid Unicode text"),
    ],
)
def test_other_headers_are_refused_by_name(headers: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        encode_headers(headers)


def test_result_of_a_serializer_becomes_an_encoded_message() -> None:
    message = Message(value=b"v", key=b"", headers={"a": "x"}, partition=0, timestamp=0)

    assert encode_message(message) == EncodedMessage(
        value=b"v", key=b"", headers=[("a", b"x")], partition=0, timestamp=0
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"bytes", "expected a Message of bytes, got bytes"),
        (None, "expected a Message of bytes, got NoneType"),
        (Message(value="text"), "the value must be bytes or None after serialization, not str"),
        (Message(key=5), "the key must be bytes or None after serialization, not int"),
        (Message(headers={"a": 1}), "header 'a' must be str or bytes"),  # type: ignore[dict-item]
        (Message(partition=-1), "the partition must be an int from 0 to 2147483647, not -1"),
        (Message(partition=True), "the partition must be an int .* not True"),
        (Message(partition=2**31), "the partition must be an int"),
        (Message(timestamp=-1), "the timestamp must be an int of milliseconds since 1970"),
        (Message(timestamp=1.5), "the timestamp must be an int"),  # type: ignore[arg-type]
        (Message(timestamp="1"), "the timestamp must be an int"),  # type: ignore[arg-type]
    ],
)
def test_wrong_result_of_a_serializer_is_refused_by_field(message: Any, text: str) -> None:
    with pytest.raises(PayloadError, match=f"message for topic 't' from JsonSerializer: .*{text}"):
        encode_message(message, serializer=JsonSerializer(), topic="t")


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (None, None), ("", None), (0, None), (0.0, None), (False, None), (float("nan"), None),
        ("boom", b"boom"), (5, b"5"), (True, b"true"), ({}, b"{}"), ([], b"[]"),
        ({"status": "error", "message": "boom"}, b'{"status":"error","message":"boom"}'),
        ([1.0, 2], b"[1,2]"), (KeyValue("k", 1), b'{"key":"k","value":1}'),
    ],
)  # fmt: skip
def test_error_becomes_the_header_that_nestjs_sends(error: Any, header: bytes | None) -> None:
    assert encode_error(error) == header


@pytest.mark.parametrize(
    ("header", "error"),
    [(None, None), (b"", ""), (b"boom", "boom"), (b'{"code":4}', {"code": 4}), (b"5", "5")],
)
def test_error_header_is_read_as_nestjs_reads_it(header: bytes | None, error: Any) -> None:
    assert decode_error(header) == error


def test_incoming_message_has_parsed_and_raw_parts() -> None:
    source = record(key=b'{"id":1}', value=b"[1]", headers=[("a", b"x"), ("a", None)])

    message = incoming_message(source, JsonDeserializer().deserialize(source))

    assert (message.topic, message.partition, message.offset) == ("t", 1, 7)
    assert (message.timestamp, message.size, message.attributes) == (1700000000000, 11, 0)
    assert (message.key, message.value, message.headers) == ({"id": 1}, [1], {"a": "x,"})
    assert (message.raw_key, message.raw_value) == (b'{"id":1}', b"[1]")
    assert message.raw_headers == [("a", b"x"), ("a", None)]


def test_tombstone_has_the_value_none() -> None:
    assert incoming_message(record(), JsonDeserializer().deserialize(record())).value is None
