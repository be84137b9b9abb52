"""Which dead letters of one partition were replayed, as kept beside a committed offset. Pure.

The committed offset is that of the first letter that was not replayed; what was replayed behind
it stands in the commit's metadata. So each letter is replayed once, whatever the filters of
several runs were.

While a run sends, the metadata also says where the topics ended to which it sends. If the run is
killed, the next one looks there for what arrived without being noted.
"""

from __future__ import annotations

import bisect
import json
from typing import Any

import attrs

from kafka_patterns.consuming.offset_map import MAX_METADATA_LENGTH, Run, decode_runs, encode_runs
from kafka_patterns.headers import REPLAY_PROGRESS_PREFIX
from kafka_patterns.message import OffsetAndMetadata, TopicPartition

__all__ = ["ReplayProgress"]


@attrs.define
class ReplayProgress:
    """One partition of a dead letter topic.

    :param position: the first letter that was not replayed, as far as is known.
    :param runs: what was replayed behind it.
    :param sent_after: where the partitions ended to which an unfinished run has sent.
    """

    position: int
    runs: list[Run] = attrs.field(factory=list)
    sent_after: dict[TopicPartition, int] = attrs.field(factory=dict)
    _joined: int | None = attrs.field(init=False)  # the end of the run that is being read

    def __attrs_post_init__(self) -> None:
        self._absorb()
        self._joined = self.position

    @classmethod
    def read(cls, committed: OffsetAndMetadata | None, first: int, end: int) -> ReplayProgress:
        """Read what was committed.

        :param first: the first offset that is still in the topic.
        :param end: the offset after the last; a commit above it was for a topic of the same
            name that is gone.
        """
        if committed is None or committed.offset > end:
            return cls(first)
        runs, sent_after = _read_metadata(*committed)
        position = max(first, committed.offset)
        return cls(position, [run for run in runs if run[1] > position], sent_after)

    def committable(self) -> OffsetAndMetadata:
        """What is to be committed."""
        return OffsetAndMetadata(self.position, _metadata(self))

    @property
    def room(self) -> int:
        """How many characters a commit's metadata has left."""
        return MAX_METADATA_LENGTH - len(_metadata(self))

    def is_replayed(self, offset: int) -> bool:
        """Whether the letter at *offset* was replayed."""
        if offset < self.position:
            return True
        index = bisect.bisect_right(self.runs, offset, key=lambda run: run[0]) - 1
        return index >= 0 and offset < self.runs[index][1]

    def note(self, offset: int, *, replayed: bool) -> None:
        """The letter at *offset* was read, and was or was not replayed by now.

        Called in the order of the offsets. Those between two letters hold none: they join what
        was replayed on both sides of them.
        """
        if offset < self.position:
            return
        if not replayed and not self.is_replayed(offset):
            self._joined = None
            return
        start = offset if self._joined is None else self._joined
        self._joined = offset + 1
        _insert(self.runs, (start, offset + 1))
        self._absorb()

    def mark(self, offset: int) -> None:
        """The letter at *offset* turned out to be replayed; before any letter is noted."""
        if not self.is_replayed(offset):
            _insert(self.runs, (offset, offset + 1))
            self._absorb()
            self._joined = self.position

    def _absorb(self) -> None:
        while self.runs and self.runs[0][0] <= self.position:
            self.position = max(self.position, self.runs.pop(0)[1])


def _insert(runs: list[Run], new: Run) -> None:
    """Add *new* to *runs*, which are ascending; those that touch become one."""
    start, after = new
    low = bisect.bisect_left(runs, start, key=lambda run: run[1])
    high = bisect.bisect_right(runs, after, key=lambda run: run[0])
    if low < high:
        start, after = min(start, runs[low][0]), max(after, runs[high - 1][1])
    runs[low:high] = [(start, after)]


def _metadata(progress: ReplayProgress) -> str:
    form: dict[str, Any] = {}
    if progress.runs:
        form["runs"] = encode_runs(progress.position, progress.runs)
    for (topic, partition), end in progress.sent_after.items():
        form.setdefault("sent_after", {}).setdefault(topic, {})[partition] = end
    return REPLAY_PROGRESS_PREFIX + json.dumps(form, separators=(",", ":")) if form else ""


def _read_metadata(position: int, text: str) -> tuple[list[Run], dict[TopicPartition, int]]:
    """What is not ours, or cannot be read, says nothing."""
    if not text.startswith(REPLAY_PROGRESS_PREFIX):
        return [], {}
    try:
        form = json.loads(text[len(REPLAY_PROGRESS_PREFIX) :])
        runs = decode_runs(position, form.get("runs", ""))
        ends = {
            TopicPartition(topic, int(partition)): int(end)
            for topic, partitions in form.get("sent_after", {}).items()
            for partition, end in partitions.items()
        }
    except (ValueError, AttributeError, TypeError):
        return [], {}
    return runs, ends
