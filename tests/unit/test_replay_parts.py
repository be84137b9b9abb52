"""The pure parts of a replay: progress, messages, and who owns the group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import CommitFailed, OffsetAndMetadata, Record, TopicPartition, TransportError
from kafka_patterns.consuming import ranges
from kafka_patterns.consuming.offset_map import MAX_METADATA_LENGTH
from kafka_patterns.consuming.ranges import RangeReader
from kafka_patterns.failures.dead_letter_record import DeadLetterRecord
from kafka_patterns.failures.replay_group import ReplayGroup, ReplayLost, SoleOwner
from kafka_patterns.failures.replay_message import is_for_another_group, replayed_message
from kafka_patterns.failures.replay_progress import ReplayProgress
from kafka_patterns.transport.base import LATEST, OffsetOutOfRange, PartitionsReappeared, Room
from kafka_patterns.transport.group import Assignment, MemberClaim

P0, P1 = TopicPartition("orders", 0), TopicPartition("orders", 1)

# Progress


def run(progress: ReplayProgress, letters: Collection[int], wanted: Collection[int]) -> list[int]:
    """Go through *letters* as a run does; returns what it replays."""
    replayed = []
    for offset in sorted(letters):
        if offset < progress.position:
            continue
        is_new = offset in wanted and not progress.is_replayed(offset)
        if is_new:
            replayed.append(offset)
        progress.note(offset, replayed=is_new)
    return replayed


@given(
    st.sets(st.integers(0, 60), max_size=40),
    st.lists(st.tuples(st.sets(st.integers(0, 60)), st.integers(0, 60)), max_size=5),
)
def test_each_letter_is_replayed_once_whatever_was_wanted_and_how_far(letters, runs):
    replayed: list[int] = []
    committed = None
    for wanted, end in runs:
        progress = ReplayProgress.read(committed, 0, 100)
        replayed += run(progress, [offset for offset in letters if offset <= end], wanted)
        committed = progress.committable()
        assert all(progress.is_replayed(offset) == (offset in replayed) for offset in letters)
    rest = run(ReplayProgress.read(committed, 0, 100), letters, letters)

    assert sorted(replayed + rest) == sorted(letters)


@given(
    st.integers(0, 2**40),
    st.lists(st.integers(1, 1000), max_size=40),
    st.dictionaries(
        st.builds(TopicPartition, st.sampled_from(["a", "b"]), st.integers(0, 9)),
        st.integers(0, 2**40),
    ),
)
def test_progress_is_read_as_it_was_written(position, steps, sent_after):
    progress = ReplayProgress(position, sent_after=sent_after)
    for step in steps:
        progress.mark(progress.position + step)
    again = ReplayProgress.read(progress.committable(), 0, 2**50)

    assert (again.position, again.runs) == (progress.position, progress.runs)
    assert again.sent_after == sent_after


def test_progress_has_a_form_that_later_versions_can_read():
    progress = ReplayProgress(7, [(9, 12), (300, 301)], {TopicPartition("orders", 0): 40})

    assert progress.committable() == OffsetAndMetadata(
        7, 'kpr1:{"runs":"kp2:AAIDoAIB","sent_after":{"orders":{"0":40}}}'
    )
    assert ReplayProgress.read(progress.committable(), 0, 2**50) == progress
    assert ReplayProgress(7).committable() == OffsetAndMetadata(7, "")


@pytest.mark.parametrize(
    "metadata", ["", "kp2:AAID", "kpr1:", "kpr1:[]", 'kpr1:{"runs":1}', 'kpr1:{"sent_after":1}']
)
def test_metadata_of_others_says_nothing(metadata: str):
    assert ReplayProgress.read(OffsetAndMetadata(7, metadata), 0, 9) == ReplayProgress(7)


def test_progress_begins_where_the_topic_begins():
    committed = ReplayProgress(7, [(9, 12), (20, 22)]).committable()

    assert ReplayProgress.read(committed, 10, 30) == ReplayProgress(12, [(20, 22)])
    assert ReplayProgress.read(None, 3, 9) == ReplayProgress(3)


def test_progress_of_a_topic_that_is_gone_says_nothing():
    assert ReplayProgress.read(OffsetAndMetadata(7), 0, 6) == ReplayProgress(0)


def test_holes_between_replayed_letters_are_no_gaps():
    progress = ReplayProgress(0)
    for offset in (3, 8, 9):
        progress.note(offset, replayed=True)

    assert progress == ReplayProgress(10)


def test_scattered_progress_leaves_less_room():
    progress = ReplayProgress(0)
    assert progress.room == MAX_METADATA_LENGTH
    for offset in range(1, 1000, 2):
        progress.mark(offset)

    assert MAX_METADATA_LENGTH / 2 < progress.room < MAX_METADATA_LENGTH - 1000


# Messages


def letter(**fields: Any) -> DeadLetterRecord:
    record = Record("orders-dlt", 1, 2, 0, b"k", b"v", fields.pop("headers", []))
    return DeadLetterRecord.of(record)


def test_request_is_replayed_as_an_event():
    dead = letter(
        headers=[
            ("kafka_correlationId", b"id"),
            ("kafka_replyTopic", b"x.reply"),
            ("kafka_replyPartition", b"0"),
            ("kafka_patterns-deadline", b"1"),
        ]
    )

    message = replayed_message(dead, partition=None, only_group=None)

    assert [name for name, _ in message.headers] == [
        *("kafka_correlationId", "kafka_patterns-replayed-from", "kafka_patterns-replays")
    ]


def test_key_of_the_sender_is_kept():
    dead = letter(
        headers=[
            ("kafka_patterns-idempotency-key", b"order-1"),
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", b"\0\0\0\0"),
            ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\0"),
        ]
    )

    message = replayed_message(dead, partition=4, only_group="g")

    assert "kafka_patterns-replay-origin" not in dict(message.headers)
    assert message.headers[0] == ("kafka_patterns-idempotency-key", b"order-1")
    assert [name for name, _ in message.headers].count("kafka_patterns-idempotency-key") == 1
    assert message.partition == 4


@pytest.mark.parametrize("before", [None, b"orders/0/3", b"elsewhere/0/3"])
def test_message_that_is_replayed_again_keeps_its_first_place(before: bytes | None):
    headers: list[tuple[str, bytes | None]] = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", b"\0\0\0\0"),
        ("kafka_dlt-original-offset", (7).to_bytes(8, "big")),
        ("kafka_patterns-replay-origin", before),
    ]

    message = replayed_message(letter(headers=headers), partition=0, only_group=None)

    assert dict(message.headers)["kafka_patterns-replay-origin"] == (before or b"orders/0/7")


@pytest.mark.parametrize(
    ("written", "came_from"),
    [
        (["orders", "orders-dlt"], "orders"),
        (["orders", "orders-dlt", "orders-dlt.DLT"], "orders"),
        (["payments.execute", "orders"], "orders"),
        (["payments.execute", "orders", "orders-dlt"], "orders"),
        (["payments-dlt", "orders"], "orders"),
        (["orders-dlt"], "orders-dlt"),
        (["orders-dlt", "orders-dlt"], "orders-dlt"),
    ],
)
def test_last_topic_that_holds_no_dead_letters_is_the_origin(written: list[str], came_from: str):
    """As Spring writes them, which appends at each step."""
    headers: list[tuple[str, bytes]] = []
    for offset, topic in enumerate(written):
        headers.append(("kafka_dlt-original-topic", topic.encode()))
        headers.append(("kafka_dlt-original-offset", offset.to_bytes(8, "big")))
        headers.append(("kafka_dlt-exception-message", topic.encode()))

    dead = letter(headers=headers)

    assert (dead.original_topic, dead.exception_message) == (came_from, written[-1])
    assert dead.original_offset is not None
    assert written[dead.original_offset] == came_from


def test_origin_is_read_in_any_order_if_there_is_one():
    dead = letter(
        headers=[
            ("kafka_dlt-original-offset", (5).to_bytes(8, "big")),
            ("kafka_dlt-original-topic", b"orders"),
        ]
    )

    assert (dead.original_topic, dead.original_offset) == ("orders", 5)


@pytest.mark.parametrize("raw", [None, b"", b"5", b"\xff\xff\xff\xff", b"123456789"])
def test_numbers_that_are_none_are_not_known(raw):
    dead = letter(headers=[("kafka_dlt-original-partition", raw)])

    assert dead.original_partition is None


@pytest.mark.parametrize(
    ("headers", "is_other"),
    [
        ([], False),
        ([("realm", b"Nest")], False),
        ([("kafka_patterns-replay-group", None)], False),
        ([("kafka_patterns-replay-group", b"ours")], False),
        ([("kafka_patterns-replay-group", b"theirs")], True),
        ([("kafka_patterns-replay-group", group) for group in (b"theirs", b"ours")], False),
    ],
)
def test_message_is_for_the_group_that_it_names(headers, is_other):
    record = Record("orders", 0, 0, 0, None, None, headers)

    assert is_for_another_group(record, "ours") is is_other


# The group


def assigned(claims: Mapping[str, bytes]) -> list[str]:
    members = {name: MemberClaim(("orders-dlt",), data) for name, data in claims.items()}
    assignment = SoleOwner().assign(members, {"orders-dlt": [1, 0]})
    assert all(given in ({}, {"orders-dlt": [0, 1]}) for given in assignment.values())
    assert set(assignment) == set(claims)
    return [name for name, given in assignment.items() if given]


def test_one_member_has_everything_and_keeps_it():
    assert assigned({"b": b"", "a": b""}) == ["a"]
    assert assigned({"a": b"", "b": b"\x01"}) == ["b"]
    assert assigned({"b": b"\x01", "a": b"\x01", "c": b"junk"}) == ["a"]


def test_member_that_fell_out_claims_nothing():
    policy = SoleOwner()
    assert policy.user_data(["orders-dlt"], first_join=False) == b""
    policy.owns = True
    assert policy.user_data(["orders-dlt"], first_join=False) == b"\x01"
    assert policy.user_data(["orders-dlt"], first_join=True) == b""


class FakeMember:
    """A member whose commits fail while a rebalance is under way, of which each poll is one.

    :param joins: the generations and the ids under which it joins, after the first.
    """

    def __init__(self, group: Any, failing_commits: int, joins: Iterable[tuple[int, str]]) -> None:
        self.group = group
        self.failing_commits = failing_commits
        self.joins = iter([(1, "member"), *joins])
        self.committed: list[Any] = []
        self.seconds_since_contact = 0.0

    def poll(self, timeout: float) -> None:
        for generation, member_id in islice(self.joins, 1):
            self.group.on_revoked(membership_lost=not member_id)
            self.group.on_assigned(Assignment(frozenset([P0]), generation, member_id))

    def commit_now(self, offsets: Any, timeout: float) -> None:
        if self.failing_commits:
            self.failing_commits -= 1
            raise CommitFailed("a rebalance is under way")
        self.committed.append(offsets)


class FakeTransport:
    def __init__(self, failing_commits: int = 0, *joins: tuple[int, str]) -> None:
        self.failing_commits = failing_commits
        self.joins = joins

    def member(self, group_id: str, topics: Any, policy: Any, listener: Any) -> FakeMember:
        self.made = FakeMember(listener, self.failing_commits, self.joins)
        return self.made


@pytest.mark.parametrize("joins", [[(3, "member")], [(2, "another")], [(2, "")]])
def test_run_that_may_have_missed_another_ends(joins: list[tuple[int, str]]):
    transport: Any = FakeTransport(0, *joins)
    group = ReplayGroup(transport, "group", "orders-dlt", 6.0)
    group.keep()
    assert group.is_in_contact

    for _ in range(2):
        with pytest.raises(ReplayLost, match="Run it again: what was replayed is left out"):
            group.keep()
    with pytest.raises(ReplayLost):
        group.commit({P0: OffsetAndMetadata(1)})
    with pytest.raises(ReplayLost):
        group.await_contact()
    assert not group.is_in_contact
    assert transport.made.committed == []


def test_run_goes_on_after_rebalances_that_it_took_part_in():
    transport: Any = FakeTransport(0, (2, "member"), (3, "member"), (3, "member"))
    group = ReplayGroup(transport, "group", "orders-dlt", 6.0)
    for _ in range(4):
        group.keep()
    group.commit({P0: OffsetAndMetadata(1)})

    assert group.is_in_contact


def test_run_waits_for_the_coordinator_before_it_sends(monkeypatch):
    transport: Any = FakeTransport()
    group = ReplayGroup(transport, "group", "orders-dlt", 6.0)
    group.keep()
    member = transport.made
    member.seconds_since_contact = 5.0
    waits = []

    def poll(timeout: float) -> None:
        waits.append(timeout)
        if len(waits) == 3:
            member.seconds_since_contact = 0.1

    monkeypatch.setattr(member, "poll", poll)
    assert not group.is_in_contact
    group.await_contact()

    assert len(waits) >= 3
    assert group.is_in_contact


def test_commit_that_meets_a_rebalance_is_tried_again():
    transport: Any = FakeTransport(failing_commits=2)
    group = ReplayGroup(transport, "group", "orders-dlt", 1.0)
    group.keep()

    group.commit({P0: OffsetAndMetadata(1)})

    assert transport.made.committed == [{P0: OffsetAndMetadata(1)}]


def test_commit_that_goes_on_failing_is_an_error():
    transport: Any = FakeTransport(failing_commits=100)
    group = ReplayGroup(transport, "group", "orders-dlt", 1.0)

    with pytest.raises(CommitFailed):
        group.commit({P0: OffsetAndMetadata(1)})


# Ranges


class Log:
    """A reader and an admin of partitions in which some offsets hold no record."""

    def __init__(self, offsets: Mapping[TopicPartition, list[int]], ends: Mapping[Any, int]):
        self.offsets = offsets
        self.ends = ends
        self.first = 0
        self.positions: dict[TopicPartition, int] = {}

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    seek = assign

    def unassign(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            del self.positions[partition]

    def stalled(self) -> list[Any]:
        return []

    def take_reached(self) -> Mapping[TopicPartition, int]:
        return {tp: at for tp, at in self.positions.items() if at == self.ends[tp]}

    def poll(self, timeout: float, room: Callable[[TopicPartition], Room]) -> Any:
        polled = {}
        for partition, position in self.positions.items():
            if position < self.first:
                raise OffsetOutOfRange({partition: position})
            left = [offset for offset in self.offsets[partition] if offset >= position]
            taken = left[: room(partition).records]
            is_last = len(taken) == len(left)
            self.positions[partition] = self.ends[partition] if is_last else taken[-1] + 1
            if taken:
                polled[partition] = [Record(*partition, at, 0, None, None, []) for at in taken]
        return polled


class Admin:
    def __init__(self, log: Log) -> None:
        self.log = log

    def offsets(self, timestamps: Mapping[TopicPartition, int], timeout: float) -> Any:
        first, ends = self.log.first, self.log.ends
        return {tp: ends[tp] if at == LATEST else first for tp, at in timestamps.items()}


def read_all(log: Log, starts: Mapping[TopicPartition, int], ends: Mapping[Any, int]) -> Any:
    reader: Any = log
    admin: Any = Admin(log)
    found: dict[TopicPartition, list[int]] = {}
    read = RangeReader(reader, admin, starts, ends)
    while records := read.read(2):
        for record in records:
            found.setdefault(record.topic_partition, []).append(record.offset)
    assert log.positions == {}
    return found


def test_range_ends_where_it_should_also_in_holes():
    log = Log({P0: [0, 1, 5, 6, 9], P1: []}, {P0: 20, P1: 4})

    assert read_all(log, {P0: 1, P1: 0}, {P0: 20, P1: 4}) == {P0: [1, 5, 6, 9]}
    assert read_all(log, {P0: 1, P1: 0}, {P0: 6, P1: 4}) == {P0: [1, 5]}
    assert read_all(log, {P0: 3, P1: 4}, {P0: 3, P1: 4}) == {}


def test_range_goes_on_behind_what_the_broker_deleted():
    log = Log({P0: [0, 1, 5, 6]}, {P0: 7})
    log.first = 5

    assert read_all(log, {P0: 0}, {P0: 7}) == {P0: [5, 6]}


class Away(Log):
    """A log of which no broker knew for a moment; it may have been made again since."""

    def __init__(self, end: int) -> None:
        super().__init__({P0: [0, 1, 5]}, {P0: 6})
        self.end_now = end
        self.polls = 0

    def poll(self, timeout: float, room: Callable[[TopicPartition], Room]) -> Any:
        self.polls += 1
        if self.polls == 2:
            self.ends = {P0: self.end_now}
            raise PartitionsReappeared({P0: 1_600_000_000.0})
        return super().poll(timeout, room)


def test_range_goes_on_when_a_partition_is_there_again():
    assert read_all(Away(6), {P0: 0}, {P0: 6}) == {P0: [0, 1, 5]}


def test_range_of_a_topic_that_was_made_again_is_given_up():
    with pytest.raises(TransportError, match="its topic was deleted and made again"):
        read_all(Away(3), {P0: 0}, {P0: 6})


def test_range_that_cannot_be_read_is_given_up(monkeypatch):
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", -1.0)

    class Silent(Log):
        def poll(self, timeout: float, room: Callable[[TopicPartition], Room]) -> Any:
            return {}

    with pytest.raises(TransportError, match=r"nothing could be read of orders\[0\]"):
        read_all(Silent({P0: [0]}, {P0: 1}), {P0: 0}, {P0: 1})
