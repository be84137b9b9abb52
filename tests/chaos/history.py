"""What one run left: all that the checker looks at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import attrs

from tests.reliability.journal import Entry, Position

__all__ = [
    "NOWHERE",
    "Asked",
    "Died",
    "Ended",
    "History",
    "Loss",
    "Partition",
    "Produced",
    "RecordId",
    "Removal",
    "Seek",
    "StatusChange",
    "Usage",
    "is_gone",
    "record_of",
    "save",
]

NOWHERE = -1
"""The offset of a record that is in its partition, nobody knows where."""

Partition = tuple[str, int]
"""Topic and number."""


class RecordId(NamedTuple):
    """A record, also when its topic is made again and the offset is taken by another."""

    topic: str
    key: str
    sequence: int


class Produced(NamedTuple):
    """A record that the broker acknowledged; times are those of the monotonic clock."""

    record: RecordId
    position: Position
    sent_at: float
    acknowledged_at: float


class Loss(NamedTuple):
    """Something that takes with it what a server has not committed.

    :param pid: of the server; ``None`` for all.
    :param topic: whose records; ``None`` for all.
    """

    pid: int | None
    began: float
    ended: float
    reason: str
    topic: str | None = None


class Removal(NamedTuple):
    """A topic was deleted and made again."""

    topic: str
    began: float
    ended: float


class Seek(NamedTuple):
    """A server was told to read a partition again from an offset on."""

    partition: Partition
    offset: int
    began: float
    ended: float


class Asked(NamedTuple):
    """A request that a client began.

    :param items: how many replies it should get: one, or those of a stream.
    """

    id: str
    pid: int
    items: int
    timeout: float
    at: float


class Ended(NamedTuple):
    """A request ended.

    :param outcome: ``replied``, ``timed out``, ``refused`` by an error of the library, or what
        should not be.
    :param replies: the numbers of the replies that came, in order.
    """

    id: str
    outcome: str
    replies: list[int]
    at: float


class StatusChange(NamedTuple):
    """A server or client told its status."""

    pid: int
    status: str
    at: float


class Usage(NamedTuple):
    """What a process needed at one moment; *resident* in bytes."""

    pid: int
    resident: int
    threads: int
    at: float


class Died(NamedTuple):
    """The end of a process.

    :param meant: whether the nemesis killed it.
    :param began: when it was started.
    """

    pid: int
    name: str
    code: int
    at: float
    meant: bool
    began: float = 0.0


@attrs.frozen(kw_only=True)
class History:
    """Everything is in the order of its time, except *entries*, which are within each process.

    :param committed: what the group had committed, at each change that was seen.
    :param poison: records that no handler can read, and
    :param dead_letters: those of them that reached the dead letter topic.
    :param outages: when a broker was down, or on its way back.
    :param calm_since: when the last fault had ended, and what it harmed had time to recover.
    :param ended_at: when the load ended.
    :param commit_window: seconds in which what is finished is committed.
    :param max_in_flight: messages that a server holds at most.
    """

    produced: list[Produced] = attrs.field(factory=list)
    entries: list[Entry] = attrs.field(factory=list)
    committed: Sequence[tuple[float, Mapping[Partition, int]]] = ()
    losses: list[Loss] = attrs.field(factory=list)
    removals: list[Removal] = attrs.field(factory=list)
    seeks: list[Seek] = attrs.field(factory=list)
    poison: set[RecordId] = attrs.field(factory=set)
    dead_letters: set[RecordId] = attrs.field(factory=set)
    asked: list[Asked] = attrs.field(factory=list)
    ended: list[Ended] = attrs.field(factory=list)
    statuses: list[StatusChange] = attrs.field(factory=list)
    usages: list[Usage] = attrs.field(factory=list)
    deaths: list[Died] = attrs.field(factory=list)
    disturbances: list[tuple[float, float]] = attrs.field(factory=list)
    outages: list[tuple[float, float]] = attrs.field(factory=list)
    calm_since: float = 0.0
    ended_at: float = 0.0
    commit_window: float = 1.0
    max_in_flight: int = 200

    def is_gone(self, produced: Produced) -> bool:
        """Whether the record was, or may have been, in a topic that was deleted since."""
        return is_gone(produced, self.removals)


def is_gone(produced: Produced, removals: Iterable[Removal]) -> bool:
    """Whether the record was, or may have been, in one of the topics that were deleted."""
    return any(
        removal.topic == produced.record.topic and produced.sent_at <= removal.ended
        for removal in removals
    )


def record_of(entry: Entry) -> RecordId:
    """What a handler worked on."""
    return RecordId(entry.position.topic, entry.key, entry.sequence)


def save(history: History, folder: Path) -> None:
    """Write what no process wrote itself, for whoever looks for the cause of a failure."""
    told = {
        "produced": history.produced,
        "committed": [
            (at, [(*partition, offset) for partition, offset in offsets.items()])
            for at, offsets in history.committed
        ],
        "losses": history.losses,
        "removals": history.removals,
        "seeks": history.seeks,
        "deaths": history.deaths,
        "disturbances": history.disturbances,
        "outages": history.outages,
        "calm_since": history.calm_since,
        "ended_at": history.ended_at,
    }
    (folder / "history.json").write_text(json.dumps(told), encoding="utf-8")
