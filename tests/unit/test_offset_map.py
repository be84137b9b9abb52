"""What is finished behind a slow message survives a restart, as text beside the commit."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.consuming.offset_map import (
    MAX_METADATA_LENGTH,
    decode_leader_epoch,
    decode_runs,
    encode_runs,
)
from kafka_patterns.message import UNKNOWN_LEADER_EPOCH
from kafka_patterns.server.offsets import OffsetTracker

GAPS = st.integers(0, 3)


def runs_from(position: int, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    runs, end = [], position
    for gap, length in parts:
        runs.append((end + gap, end + gap + length))
        end += gap + length
    return runs


@given(
    position=st.integers(0, 2**62),
    parts=st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 2**40)), max_size=50),
)
def test_runs_come_back(position, parts) -> None:
    runs = runs_from(position, parts)

    assert decode_runs(position, encode_runs(position, runs)) == runs


def test_form_is_fixed() -> None:
    text = encode_runs(100, [(101, 103), (500, 501)], leader_epoch=6)

    numbers = bytes([7, 1, 2, 397 & 0x7F | 0x80, 397 >> 7, 1])
    assert text == "kp2:" + base64.b64encode(numbers).decode()
    assert encode_runs(100, [], leader_epoch=6) == ""


@given(seed=st.integers(0, 2**32), largest=st.integers(1, 2**20))
def test_text_fits_a_broker_and_leaves_out_only_the_last_runs(seed, largest) -> None:
    chance = random.Random(seed)
    parts = [(chance.randrange(largest), chance.randint(1, largest)) for _ in range(3000)]
    runs = runs_from(7, parts)

    text = encode_runs(7, runs)

    assert len(text) <= MAX_METADATA_LENGTH
    kept = decode_runs(7, text)
    assert kept == runs[: len(kept)]
    assert len(kept) >= 500


@pytest.mark.parametrize(
    "text", ["", "kp2:", "kp2:%%%", "kp2:gA==", "kp1:AQI=", "KP2:AAEC", "anything", "kp2:AAE"]
)
def test_text_that_is_not_ours_or_damaged_finishes_nothing(text: str) -> None:
    assert decode_runs(7, text) == []
    assert decode_leader_epoch(text) == UNKNOWN_LEADER_EPOCH


@given(text=st.text(max_size=60) | st.text(max_size=60).map(lambda junk: "kp2:" + junk))
def test_junk_raises_nothing(text) -> None:
    assert isinstance(decode_runs(0, text), list)
    assert isinstance(decode_leader_epoch(text), int)


@given(leader_epoch=st.integers(-1, 2**31 - 1))
def test_leader_epoch_comes_back(leader_epoch) -> None:
    text = encode_runs(7, [(8, 9)], leader_epoch)

    assert decode_leader_epoch(text) == leader_epoch
    assert decode_runs(7, text) == [(8, 9)]


@given(
    gaps=st.lists(GAPS, max_size=40),
    data=st.data(),
    owners=st.integers(1, 3),
)
def test_next_owner_repeats_what_is_unfinished_and_nothing_else(gaps, data, owners) -> None:
    log, offset = [], 0
    for gap in gaps:
        offset += gap
        log.append(offset)
        offset += 1
    finished: set[int] = set()
    position, text = 0, ""

    for _ in range(owners):
        tracker = OffsetTracker(position, decode_runs(position, text))
        read = data.draw(st.integers(0, len(log)))
        for record in [one for one in log if one >= position][:read]:
            assert tracker.deliver(record) == (record not in finished)
        delivered = [one for one in log if position <= one < tracker.next_offset]
        open_ones = [one for one in delivered if one not in finished]
        for record in data.draw(st.permutations(open_ones))[: data.draw(st.integers(0, 40))]:
            tracker.finish(record)
            finished.add(record)
        position, text = tracker.position, encode_runs(tracker.position, tracker.finished_runs())
        assert set(range(position)) & set(log) <= finished

    last = OffsetTracker(position, decode_runs(position, text))
    again = [record for record in log if record >= position and last.deliver(record)]
    assert again == [record for record in log if record not in finished]


class CutLog:
    """A log that an election may cut short; each record has a name that no other ever has."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int, int]] = []  # offset, leader epoch, name
        self.end = self.leader_epoch = self.names = 0

    def append(self, count: int) -> None:
        for _ in range(count):
            self.records.append((self.end, self.leader_epoch, self.names))
            self.end += 1
            self.names += 1

    def elect(self, end: int) -> None:
        """A new leader, that has what is below *end*."""
        self.leader_epoch += 1
        self.end = min(self.end, end)
        self.records = [record for record in self.records if record[0] < end]


@given(data=st.data(), owners=st.integers(1, 4))
def test_what_was_written_after_an_election_cut_the_log_is_not_taken_for_finished(
    data, owners
) -> None:
    log = CutLog()
    finished: set[int] = set()
    log.append(data.draw(st.integers(0, 12)))
    position, text = 0, ""

    for _ in range(owners):
        tracker = OffsetTracker(position, decode_runs(position, text), decode_leader_epoch(text))
        left = [record for record in log.records if record[0] >= position]
        open_ones = []
        for offset, leader_epoch, name in left[: data.draw(st.integers(0, len(left)))]:
            if tracker.deliver(offset, leader_epoch):
                assert name not in finished or leader_epoch < log.leader_epoch
                open_ones.append((offset, name))
            else:
                assert name in finished
        for offset, name in open_ones:
            if data.draw(st.booleans()):
                tracker.finish(offset)
                finished.add(name)
        position = tracker.position
        text = encode_runs(position, tracker.finished_runs(), tracker.leader_epoch)
        if data.draw(st.booleans()):
            # What is cut below the committed offset is lost to the group, as to any other.
            log.elect(data.draw(st.integers(position, position + 12)))
        log.append(data.draw(st.integers(0, 12)))
