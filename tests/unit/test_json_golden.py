"""Our bytes and values against tables made by the real NestJS and kafkajs."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from kafka_patterns.serialization.careful_json import careful_text
from kafka_patterns.serialization.incoming import parse_headers
from kafka_patterns.serialization.json import JsonSerializer, decode, encode_value
from kafka_patterns.serialization.json_writer import default_writer
from kafka_patterns.serialization.scalars import number_text
from tests.golden import from_hex, rows, untagged


def _label(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=True)[:60]


_PARSER = rows("parser")


@pytest.mark.parametrize("row", rows("serializer"), ids=_label)
def test_payload_becomes_the_bytes_that_nestjs_writes(row: dict[str, Any]) -> None:
    message = JsonSerializer().serialize(untagged(row["payload"]), topic="t", pattern="t")

    assert message.value == from_hex(row["value"])
    assert message.key == from_hex(row["key"])


@pytest.mark.parametrize("row", rows("serializer"), ids=_label)
def test_careful_writer_writes_what_the_fast_one_writes(row: dict[str, Any]) -> None:
    payload = untagged(row["payload"])

    careful = careful_text(payload, default_writer.form)

    if "\\ud" not in json.dumps(row):
        assert default_writer.write(payload) == careful.encode()
    assert json.loads(default_writer.write(payload)) == json.loads(careful)


def test_every_number_is_written_as_javascript_writes_it() -> None:
    for row in rows("numbers"):
        (number,) = struct.unpack(">d", bytes.fromhex(row["double"]))
        assert number_text(number) == row["text"]
        assert encode_value([number]) == f"[{row['text']}]".encode()


@pytest.mark.parametrize("row", [row for row in _PARSER if "body" in row], ids=_label)
def test_body_is_parsed_as_nestjs_parses_it(row: dict[str, Any]) -> None:
    assert decode(from_hex(row["body"])) == untagged(row["parsed"])


@pytest.mark.parametrize("row", [row for row in _PARSER if "headers" in row], ids=_label)
def test_headers_are_parsed_as_nestjs_parses_them(row: dict[str, Any]) -> None:
    pairs = [(name, from_hex(value)) for name, value in row["headers"]]

    assert parse_headers(pairs) == untagged(row["parsed"])
