"""Lets the leader of a consumer group sync after its followers.

librdkafka's mock broker ends the sync of a group as soon as the leader has sent the
assignment, and refuses a follower that comes later, which then joins anew: two members can
take half a minute to find together. A real broker takes them in any order. So the leader's
request waits here until the followers' requests have passed.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter

import attrs

from kafka_patterns.testing.api_keys import ApiKey

__all__ = ["SyncOrder", "SyncRequest", "parse_sync_request"]

_LONGEST_WAIT = 1.0
# The broker reads its connections in no certain order: what passed must be taken first.
_HEAD_START = 0.02
_FIRST_COMPACT_VERSION = 4
_FIRST_VERSION_WITH_INSTANCE_ID = 3


@attrs.frozen
class SyncRequest:
    """What is needed of a SyncGroup request.

    :param generation: the group's name and the number of its generation.
    :param members: how many members the assignment is for; 0 from a follower.
    """

    generation: tuple[bytes, int]
    members: int


def parse_sync_request(frame: bytes) -> SyncRequest | None:
    """Return what *frame* says, or ``None`` if it is another request or a newer version.

    :param frame: one request without its length.
    """
    api_key, version = struct.unpack_from(">hh", frame)
    if api_key != ApiKey.SYNC_GROUP or version >= _FIRST_COMPACT_VERSION:
        return None
    position = 8
    _client_id, position = _text(frame, position)
    group, position = _text(frame, position)
    (generation,) = struct.unpack_from(">i", frame, position)
    _member_id, position = _text(frame, position + 4)
    if version >= _FIRST_VERSION_WITH_INSTANCE_ID:
        _instance_id, position = _text(frame, position)
    (members,) = struct.unpack_from(">i", frame, position)
    return SyncRequest((group, generation), members)


def _text(frame: bytes, position: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">h", frame, position)
    start = position + 2
    end = start + max(length, 0)
    return frame[start:end], end


class SyncOrder:
    """Knows which followers have synced. Belongs to one event loop."""

    def __init__(self) -> None:
        self._followers: Counter[tuple[bytes, int]] = Counter()
        self._changed = asyncio.Condition()

    async def wait_for_turn(self, request: SyncRequest) -> None:
        """Return when *request* may pass; a missing follower holds it for one second."""
        async with self._changed:
            if not request.members:
                self._followers[request.generation] += 1
                self._changed.notify_all()
                return
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(
                        lambda: self._followers[request.generation] >= request.members - 1
                    ),
                    _LONGEST_WAIT,
                )
            except asyncio.TimeoutError:
                return
            finally:
                del self._followers[request.generation]
        if request.members > 1:
            await asyncio.sleep(_HEAD_START)
