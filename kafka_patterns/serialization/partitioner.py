"""Which partition a key belongs to: the same one as from Java, kafkajs and NestJS."""

from __future__ import annotations

import struct
from functools import lru_cache

__all__ = ["murmur2", "partition_for_key"]

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_LONGEST_CACHED_KEY = 128


def murmur2(data: bytes) -> int:
    """Return the signed 32-bit hash that Java's ``Utils.murmur2`` gives for *data*."""
    length = len(data)
    word_count = length // 4
    hashed = _SEED ^ length
    for word in struct.unpack_from(f"<{word_count}I", data):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ mixed >> 24) * _MULTIPLIER & _MASK
        hashed = hashed * _MULTIPLIER & _MASK ^ mixed
    tail = data[word_count * 4 :]
    if tail:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * _MULTIPLIER & _MASK
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _MASK
    hashed ^= hashed >> 15
    return hashed - (1 << 32) if hashed > _POSITIVE else hashed


_recent_murmur2 = lru_cache(maxsize=8192)(murmur2)


def partition_for_key(key: bytes, partition_count: int) -> int:
    """Return the partition that *key* belongs to, from 0 to *partition_count* - 1.

    :param key: the encoded key; an empty one is a key like any other.
    :raises ValueError: if *partition_count* is not positive.
    """
    if partition_count < 1:
        raise ValueError(f"a topic has at least one partition, not {partition_count}")
    hashed = _recent_murmur2(key) if len(key) <= _LONGEST_CACHED_KEY else murmur2(key)
    return (hashed & _POSITIVE) % partition_count
