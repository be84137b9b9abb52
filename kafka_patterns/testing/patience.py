"""Shortens waits that librdkafka's mock broker takes too literally.

It answers a fetch only after the whole wait the client would accept, even if a record comes
earlier, and holds a join to a running group for the session timeout less a second. With the
options of an ordinary client that is half a second for each reply, and half a minute until a
restarted program is back in its group.
"""

from __future__ import annotations

import struct

from kafka_patterns.testing.api_keys import ApiKey

__all__ = ["LONGEST_FETCH_WAIT_MS", "LONGEST_SESSION_MS", "shorten_waits"]

LONGEST_FETCH_WAIT_MS = 10
LONGEST_SESSION_MS = 5_000
"""Above the usual heartbeat interval of 3 s, so that no member is taken for dead."""

_FIRST_COMPACT_FETCH = 12
_FIRST_COMPACT_JOIN = 6
_CLIENT_ID_AT = 8
_REPLICA_ID_SIZE = 4


def shorten_waits(frame: bytes) -> bytes:
    """Return *frame*, one request without its length, with no wait longer than is good."""
    api_key, version = struct.unpack_from(">hh", frame)
    if api_key == ApiKey.FETCH and version < _FIRST_COMPACT_FETCH:
        position = _after_text(frame, _CLIENT_ID_AT) + _REPLICA_ID_SIZE
        return _at_most(frame, position, LONGEST_FETCH_WAIT_MS)
    if api_key == ApiKey.JOIN_GROUP and version < _FIRST_COMPACT_JOIN:
        group_at = _after_text(frame, _CLIENT_ID_AT)
        return _at_most(frame, _after_text(frame, group_at), LONGEST_SESSION_MS)
    return frame


def _after_text(frame: bytes, position: int) -> int:
    (length,) = struct.unpack_from(">h", frame, position)
    return position + 2 + max(int(length), 0)


def _at_most(frame: bytes, position: int, limit: int) -> bytes:
    (value,) = struct.unpack_from(">i", frame, position)
    if value <= limit:
        return frame
    return frame[:position] + struct.pack(">i", limit) + frame[position + 4 :]
