"""What is noted beside a commit for whoever has the partition next."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.consuming.offset_map import (
    MAX_METADATA_LENGTH,
    decode_leader_epoch,
    decode_runs,
    encode_runs,
)
from kafka_patterns.server.work_notes import WorkNotes, decode_notes, encode_notes

NOTES = st.builds(
    WorkNotes,
    st.integers(0, 50),
    st.dictionaries(st.integers(100, 10**12), st.integers(0, 1000), max_size=100),
)
RUNS = st.lists(st.integers(1, 10**6), max_size=2000)


def runs_above(position: int, lengths: list[int]) -> list[tuple[int, int]]:
    runs, end = [], position
    for length in lengths:
        runs.append((end + 1, end + 1 + length))
        end = runs[-1][1]
    return runs


@given(notes=NOTES, lengths=RUNS)
def test_notes_come_back_with_as_many_runs_as_fit(notes: WorkNotes, lengths: list[int]) -> None:
    runs = runs_above(100, lengths)

    text = encode_notes(100, notes, runs, 7)

    assert len(text) <= MAX_METADATA_LENGTH
    read, rest = decode_notes(100, text)
    assert read == notes
    kept = decode_runs(100, rest)
    assert kept == runs[: len(kept)]
    assert len(kept) >= min(len(runs), 100)
    assert not kept or decode_leader_epoch(rest) == 7


def test_form_is_fixed() -> None:
    text = encode_notes(100, WorkNotes(2, {107: 3, 101: 0}), [(102, 104)], 4)

    head = base64.b64encode(bytes([2, 1, 0, 6, 3])).decode()
    assert text == f"kp3:{head}|" + encode_runs(100, [(102, 104)], 4)
    assert decode_notes(100, "kp3:AgEABgM=|kp2:BQIC") == (
        WorkNotes(2, {101: 0, 107: 3}),
        "kp2:BQIC",
    )


def test_without_notes_the_form_is_that_of_the_runs() -> None:
    runs = [(101, 103)]
    assert encode_notes(100, WorkNotes(), []) == ""
    assert encode_notes(100, WorkNotes(), runs, 4) == encode_runs(100, runs, 4)
    assert decode_notes(100, encode_runs(100, runs, 4)) == (
        WorkNotes(),
        encode_runs(100, runs, 4),
    )


@pytest.mark.parametrize("text", ["kp3:", "kp3:%%%", "kp3:gA==", "kp3:|kp2:BQIC"])
def test_text_that_is_damaged_notes_nothing(text: str) -> None:
    assert decode_notes(100, text) == (WorkNotes(), "")


@pytest.mark.parametrize("text", ["", "kp4:AQI=|", "anything"])
def test_text_of_others_is_left_alone(text: str) -> None:
    assert decode_notes(100, text) == (WorkNotes(), text)
