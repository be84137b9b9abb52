"""How a server fares, as one value."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from kafka_patterns.message import TopicPartition
from kafka_patterns.server.watch import RunningHandler
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.status import KafkaStatus

__all__ = ["ServerHealth"]


@attrs.frozen(kw_only=True)
class ServerHealth:
    """A server at one moment.

    :param status: ``None`` before the first start.
    :param alive: whether the threads that consume run.
    :param seconds_since_poll: the longer of the two since the group's member and the fetcher
        last went round their loops.
    :param seconds_since_contact: since the group's coordinator last answered.
    :param assignment: the partitions that are read, with the messages between the committed
        position and the end of each as far as it is known.
    :param in_flight: messages held: queued, running, or waiting for their reply's
        acknowledgement; those of partitions that left meanwhile included.
    :param running: handlers that run now.
    :param held_lanes: lanes whose first message waits for its next try.
    :param oldest_handler: the handler that has run longest; one that deferred its message counts
        until that is acknowledged.
    :param stalled: the partitions that make no progress while the others go on: those whose first
        message is tried again, and those that cannot be read.
    :param last_error: why a dead letter is refused, as long as it is; else why the brokers do not
        let replies be written, until one is; else why a message is tried
        again, as long as one is; else why a partition cannot be read, as long as one cannot; else
        what last went wrong with the group or with reading.
    :param counters: what happened so far, by name.
    """

    status: KafkaStatus | None
    alive: bool
    seconds_since_poll: float
    seconds_since_contact: float
    assignment: Mapping[TopicPartition, int | None]
    in_flight: int
    running: int
    held_lanes: int
    oldest_handler: RunningHandler | None
    stalled: Collection[StalledPartition]
    last_error: str | None
    counters: Mapping[str, int]


NOT_RUNNING = ServerHealth(
    status=None,
    alive=False,
    seconds_since_poll=float("inf"),
    seconds_since_contact=float("inf"),
    assignment={},
    in_flight=0,
    running=0,
    held_lanes=0,
    oldest_handler=None,
    stalled=(),
    last_error=None,
    counters={},
)
"""A server that is not running."""
