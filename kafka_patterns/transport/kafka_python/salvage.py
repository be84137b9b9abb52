"""One record that the base cannot read, out of a batch whose others can be read."""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from kafka_patterns.message import HeaderPairs, Record, TopicPartition, Unreadable

__all__ = ["salvage"]

_LONGEST_REASON = 300


def salvage(partition: TopicPartition, batch: Any, error: Exception) -> Record | None:
    """The record at which *batch* failed with *error*; the batch goes on after it.

    With all its parts if it is well formed and only a header's name is no UTF-8, else as it
    came. ``None`` if it does not even tell where it ends.
    """
    if not isinstance(batch, DefaultRecordBatch) or not batch._decompressed:
        return None
    buffer, start = batch._buffer, batch._pos
    if batch._next_record_index >= batch._num_records:
        return None
    try:
        length, body = decode_varint(buffer, start)
        delta = _offset_delta(buffer, body)
    except (IndexError, ValueError):
        return None
    end = body + length
    if not body < end <= len(buffer) or not 0 <= delta <= batch.last_offset_delta:
        return None
    batch._pos = end
    batch._next_record_index += 1
    reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    try:
        parts = _parts(batch, buffer[:end], body)
    except (IndexError, ValueError):
        parts = None
    offset = batch.base_offset + delta
    if parts is None:
        about = Unreadable(f"{reason}; the value is the whole record as it came", is_raw=True)
        raw = bytes(buffer[start:end])
        return Record(*partition, offset, batch.first_timestamp, None, raw, [], -1, about)
    timestamp, key, value, headers = parts
    names = [name for name, _ in headers if not _is_utf8(name)]
    about = Unreadable(f"the names of headers are no UTF-8: {names}"[:_LONGEST_REASON])
    return Record(*partition, offset, timestamp, key, value, headers, batch.timestamp_type, about)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _offset_delta(buffer: bytearray, position: int) -> int:
    for _ in range(2):  # attributes and time
        _, position = decode_varint(buffer, position)
    return int(decode_varint(buffer, position)[0])


def _parts(
    batch: DefaultRecordBatch, buffer: bytearray, position: int
) -> tuple[int, bytes | None, bytes | None, HeaderPairs] | None:
    """Time, key, value and headers; ``None`` if they are not all that the record is."""
    _, position = decode_varint(buffer, position)
    time_delta, position = decode_varint(buffer, position)
    _, position = decode_varint(buffer, position)
    key, position = _bytes(buffer, position)
    value, position = _bytes(buffer, position)
    count, position = decode_varint(buffer, position)
    headers: HeaderPairs = []
    for _ in range(count):
        name, position = _bytes(buffer, position)
        content, position = _bytes(buffer, position)
        if name is None:
            return None
        headers.append((name.decode("utf-8", "surrogateescape"), content))
    if position != len(buffer) or count < 0:
        return None
    by_broker = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if by_broker else batch.first_timestamp + time_delta
    return timestamp, key, value, headers


def _bytes(buffer: bytearray, position: int) -> tuple[bytes | None, int]:
    length, position = decode_varint(buffer, position)
    if length < 0:
        return None, position
    if position + length > len(buffer):
        raise IndexError(position)
    return bytes(buffer[position : position + length]), position + length
