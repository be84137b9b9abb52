"""The same key lands on the same partition as from NestJS, kafkajs and Java."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.serialization.json import encode_value
from kafka_patterns.serialization.partitioner import murmur2, partition_for_key
from tests.golden import rows, untagged


@pytest.mark.parametrize("row", rows("partitions"), ids=lambda row: str(row["key"])[:40])
def test_key_lands_on_the_partition_that_nestjs_chooses(row: dict[str, Any]) -> None:
    key = encode_value(untagged(row["key"]))

    assert key == bytes.fromhex(row["encoded"])
    assert [partition_for_key(key, count) for count in row["counts"]] == row["partitions"]


@pytest.mark.parametrize("row", rows("partitions_java"), ids=lambda row: row["encoded"][:40])
def test_key_lands_on_the_partition_that_java_chooses(row: dict[str, Any]) -> None:
    key = bytes.fromhex(row["encoded"])

    assert murmur2(key) == row["murmur2"]
    assert [partition_for_key(key, count) for count in row["counts"]] == row["partitions"]


def test_the_java_table_has_every_key_of_the_nestjs_table() -> None:
    assert [row["encoded"] for row in rows("partitions_java")] == [
        row["encoded"] for row in rows("partitions")
    ]


@given(st.binary(max_size=300), st.integers(1, 10_000))
def test_partition_always_exists(key: bytes, partition_count: int) -> None:
    assert 0 <= partition_for_key(key, partition_count) < partition_count


@given(st.binary(max_size=300))
def test_hash_is_a_signed_32_bit_number(key: bytes) -> None:
    assert -(2**31) <= murmur2(key) < 2**31


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one partition"):
        partition_for_key(b"key", 0)
