"""What is finished behind a slow message survives a restart, as text beside the commit."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.consuming.offset_map import MAX_METADATA_LENGTH, decode_runs, encode_runs
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
    text = encode_runs(100, [(101, 103), (500, 501)])

    assert text == "kp1:" + base64.b64encode(bytes([1, 2, 397 & 0x7F | 0x80, 397 >> 7, 1])).decode()
    assert encode_runs(100, []) == ""


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
    "text", ["", "kp1:", "kp1:%%%", "kp1:gA==", "kp2:AQI=", "KP1:AQI=", "anything", "kp1:AQI"]
)
def test_text_that_is_not_ours_or_damaged_finishes_nothing(text: str) -> None:
    assert decode_runs(7, text) == []


@given(text=st.text(max_size=60) | st.text(max_size=60).map(lambda junk: "kp1:" + junk))
def test_junk_raises_nothing(text) -> None:
    assert isinstance(decode_runs(0, text), list)


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
