"""Runs of a replay over a group, an admin and a producer that do as they are told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from kafka_patterns import (
    DeadLetterRecord,
    OffsetAndMetadata,
    Record,
    RecordMetadata,
    ReplayFailed,
    SendFailed,
    TopicPartition,
)
from kafka_patterns.failures.replay import Replay, ReplayPlan
from kafka_patterns.failures.replay_group import ReplayLost
from kafka_patterns.failures.replay_progress import ReplayProgress
from kafka_patterns.failures.replay_state import ReplayState
from kafka_patterns.message import EncodedMessage

DEAD = TopicPartition("orders-dlt", 0)


class Cluster:
    """The group's commits, the topics, and what was sent when."""

    def __init__(self, committed: OffsetAndMetadata | None = None, partitions: int = 1) -> None:
        self.committed_now = committed
        self.partition_count = partitions
        self.kept = 0
        self.sent: list[tuple[float, EncodedMessage]] = []
        self.failures: dict[bytes, Exception] = {}
        self.now = 0.0
        self.lost_after: int | None = None
        self.is_in_contact = True

    # The group

    def keep(self) -> None:
        self.kept += 1

    def await_contact(self) -> None:
        if len(self.sent) == self.lost_after:
            self.is_in_contact = False
            raise ReplayLost("thrown out")

    def committed(self, partitions: Collection[TopicPartition]) -> Mapping[Any, Any]:
        return {DEAD: self.committed_now}

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        if not self.is_in_contact:
            raise ReplayLost("thrown out")
        self.committed_now = offsets[DEAD]

    # The admin

    def topics(self, timeout: float) -> Collection[str]:
        return ["orders", "orders-dlt"]

    def partitions(self, topic: str, timeout: float) -> Collection[int]:
        return range(self.partition_count)

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[Any, Any]:
        return dict.fromkeys(timestamps, 10**15)

    # The producer

    def send(self, topic: str, message: EncodedMessage, *, timeout: float) -> Any:
        future: Future[RecordMetadata] = Future()
        self.sent.append((self.now, message))
        failure = self.failures.get(message.value or b"")
        if failure is None:
            future.set_result(RecordMetadata(topic, 0, 0, 0))
        else:
            future.set_exception(failure)
        return future

    # The time

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for _, message in self.sent]


def letters(*values: bytes) -> list[Record]:
    headers: Any = [("kafka_dlt-original-topic", b"orders")]
    return [Record(*DEAD, offset, 0, None, value, headers) for offset, value in enumerate(values)]


def run(cluster: Cluster, records: Sequence[Record], **plan: Any) -> Any:
    defaults: dict[str, Any] = {"to": None, "where": None, "limit": None, "rate": None}
    defaults |= {"dry_run": False, "again": False, "all_groups": False, "topic": DEAD.topic}
    anything: Any = cluster
    state = ReplayState(anything, anything, anything, {DEAD: 0}, {DEAD: 10**6}, dry_run=False)
    replay = Replay(
        ReplayPlan(**{**defaults, **plan}),
        state,
        anything,
        anything,
        1.0,
        clock=cluster.clock,
        sleep=cluster.sleep,
    )
    windows = [list(records), []]
    try:
        return replay.run(lambda _: windows.pop(0))
    finally:
        state.finish()


def test_rate_spaces_what_is_sent():
    cluster = Cluster()

    run(cluster, letters(b"a", b"b", b"c"), rate=4)

    assert [round(at, 6) for at, _ in cluster.sent] == [0, 0.25, 0.5]
    assert cluster.kept > 3


def test_refused_letter_ends_the_run_and_is_sent_by_the_next():
    cluster = Cluster()
    cluster.failures[b"b"] = SendFailed("too large")

    with pytest.raises(ReplayFailed, match="1 dead letters of 'orders-dlt' were not") as caught:
        run(cluster, letters(b"a", b"b", b"c"))
    assert (caught.value.report.replayed, caught.value.report.failed) == (2, 1)
    assert cluster.committed_now is not None
    assert ReplayProgress.read(cluster.committed_now, 0, 10) == ReplayProgress(1, [(2, 3)])

    cluster.failures.clear()
    report = run(cluster, letters(b"a", b"b", b"c"))
    assert (report.replayed, report.already_replayed) == (1, 2)
    assert cluster.values == [b"a", b"b", b"c", b"b"]


def test_next_run_looks_for_a_letter_that_may_have_arrived():
    cluster = Cluster()
    cluster.failures[b"a"] = SendFailed("the connection broke", outcome_unknown=True)

    with pytest.raises(ReplayFailed):
        run(cluster, letters(b"a", b"b"))

    progress = ReplayProgress.read(cluster.committed_now, 0, 10)
    assert progress.sent_after == {TopicPartition("orders", 0): 10**15}


@pytest.mark.parametrize("home", [b"orders-dlt", b"__consumer_offsets", b"../orders", b"\xff", b""])
def test_letter_from_a_topic_that_it_cannot_come_from_goes_nowhere(home: bytes):
    cluster = Cluster()
    forged = letters(b"a")[0]._replace(headers=[("kafka_dlt-original-topic", home)])

    report = run(cluster, [forged, *letters(b"a", b"b")[1:]])

    assert (report.matched, report.unroutable, report.replayed) == (2, 1, 1)
    assert cluster.values == [b"b"]


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_run_that_was_thrown_out_of_its_group_ends(sent: int):
    cluster = Cluster()
    cluster.lost_after = sent

    with pytest.raises(ReplayFailed, match="thrown out") as caught:
        run(cluster, letters(b"a", b"b", b"c"))

    assert caught.value.report.replayed == sent
    assert cluster.values == [b"a", b"b", b"c"][:sent]
    progress = ReplayProgress.read(cluster.committed_now, 0, 10)
    assert (progress.position, bool(progress.sent_after)) == (0, True)


def test_run_stays_in_its_group_however_long_letters_are_looked_at():
    cluster = Cluster()

    def where(_: DeadLetterRecord) -> bool:
        cluster.now += 5
        return True

    run(cluster, letters(*[b"a"] * 10), where=where)

    assert cluster.kept >= 10


def test_interrupted_window_is_noted_and_looked_at_again():
    cluster = Cluster()

    def where(letter: DeadLetterRecord) -> bool:
        if letter.value == b"b":
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        run(cluster, letters(b"a", b"b"), where=where)

    progress = ReplayProgress.read(cluster.committed_now, 0, 10)
    assert (progress.position, bool(progress.sent_after)) == (1, True)


def test_scattered_progress_without_room_ends_the_run():
    progress = ReplayProgress(0)
    for offset in range(1, 3_000, 2):
        progress.mark(offset)
    cluster = Cluster(progress.committable())

    with pytest.raises(ReplayFailed, match="so scattered that the commit has no room for more"):
        run(cluster, letters(b"a"))
    assert cluster.sent == []


def test_target_of_very_many_partitions_is_sent_to_without_a_note(caplog):
    cluster = Cluster(partitions=500)

    assert run(cluster, letters(b"a")).replayed == 1
    assert "there is no room to write down where the 500 partitions end" in caplog.text
