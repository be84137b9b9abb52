"""Histories made by hand: one that keeps all promises, and one for each way to break one."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.chaos.checker import check
from tests.chaos.history import (
    Asked,
    Died,
    Ended,
    History,
    Loss,
    Produced,
    RecordId,
    Removal,
    Seek,
    StatusChange,
    Usage,
)
from tests.reliability.journal import FAILED, FINISHED, STARTED, Entry, Position

LOST = "nothing is lost"
DUPLICATES = "duplicates are within the bound"
ORDER = "the order of a key is kept"
COMMITS = "committed offsets never go back, nor past the unfinished"
REQUESTS = "every request ends once and rightly"
RESOURCES = "memory and threads stay flat"
STATUSES = "connected means that work goes on"


def record(number: int, *, at: float, topic: str = "events", offset: int | None = None) -> Produced:
    position = Position(topic, 0, number if offset is None else offset)
    return Produced(RecordId(topic, "key", number), position, at, at + 0.01)


def entry(event: str, produced: Produced, at: float, pid: int = 1) -> Entry:
    key, number = produced.record.key, produced.record.sequence
    return Entry(event, produced.position, key, number, 1, pid, at)


def handled(produced: Produced, at: float, pid: int = 1) -> list[Entry]:
    return [entry(STARTED, produced, at, pid), entry(FINISHED, produced, at + 0.1, pid)]


def commits(*samples: tuple[float, int]) -> list[tuple[float, dict[tuple[str, int], int]]]:
    return [(at, {("events", 0): offset}) for at, offset in samples]


RECORDS = [record(number, at=float(number)) for number in range(10)]
GOOD = History(
    produced=RECORDS,
    entries=[
        one for number, produced in enumerate(RECORDS) for one in handled(produced, number + 0.2)
    ],
    committed=commits((2.0, 2), (6.0, 6), (11.0, 10)),
    asked=[Asked("a", 9, 1, 5.0, 1.0), Asked("b", 9, 3, 5.0, 1.0)],
    ended=[Ended("a", "replied", [0], 1.2), Ended("b", "replied", [0, 1, 2], 2.0)],
    statuses=[StatusChange(1, "connected", 0.0)],
    usages=[Usage(1, 50_000_000, 12, float(second)) for second in range(60)],
    calm_since=0.0,
    ended_at=12.0,
    commit_window=1.0,
    max_in_flight=3,
)


def changed(**changes: Any) -> History:
    return attrs.evolve(GOOD, **changes)


def broken(history: History) -> set[str]:
    return set(check(history))


def test_good_history_breaks_nothing():
    assert check(GOOD) == {}


def test_record_that_nobody_handled_is_lost():
    lost = record(10, at=10.0)
    found = check(changed(produced=[*RECORDS, lost]))
    assert set(found) == {LOST}
    assert "sequence=10" in found[LOST][0]


def test_record_that_was_begun_and_not_finished_is_lost():
    begun = record(10, at=10.0)
    entries = [*GOOD.entries, entry(STARTED, begun, 10.5)]
    assert broken(changed(produced=[*RECORDS, begun], entries=entries)) == {LOST}


def test_record_of_a_deleted_topic_is_not_lost():
    gone = record(10, at=10.0)
    removal = Removal("events", 10.5, 11.0)
    assert broken(changed(produced=[*RECORDS, gone], removals=[removal])) == set()


def test_record_written_after_its_topic_was_made_again_is_lost():
    again = record(10, at=12.0, offset=0)
    removal = Removal("events", 10.5, 11.0)
    assert broken(changed(produced=[*RECORDS, again], removals=[removal])) == {LOST}


def test_poison_must_become_a_dead_letter():
    poison = record(10, at=10.0)
    history = changed(produced=[*RECORDS, poison], poison={poison.record})
    assert broken(history) == {LOST}
    assert broken(attrs.evolve(history, dead_letters={poison.record})) == set()


def test_duplicate_without_a_reason():
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0, pid=2)]
    assert broken(changed(entries=entries)) == {DUPLICATES}


def test_duplicate_within_the_commit_window_of_a_kill():
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0, pid=2)]
    assert broken(changed(entries=entries, losses=[Loss(1, 9.5, 9.6, "kill")])) == set()


@pytest.mark.parametrize(
    "loss",
    [
        Loss(2, 9.5, 9.6, "kill of another process"),
        Loss(1, 10.5, 10.6, "kill after its commit was due"),
        Loss(1, 9.0, 9.1, "kill before it was finished"),
        Loss(1, 11.5, 11.6, "kill after it came again"),
    ],
    ids=lambda loss: loss.reason,
)
def test_duplicate_that_a_kill_does_not_explain(loss):
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0, pid=2)]
    assert broken(changed(entries=entries, losses=[loss])) == {DUPLICATES}


def test_unfinished_record_comes_again_after_a_kill():
    begun = record(10, at=10.0)
    entries = [*GOOD.entries, entry(STARTED, begun, 10.2), *handled(begun, 11.0, pid=2)]
    history = changed(produced=[*RECORDS, begun], entries=entries)
    assert broken(history) == {DUPLICATES}
    assert broken(attrs.evolve(history, losses=[Loss(1, 10.5, 10.6, "kill")])) == set()


def test_more_unfinished_records_than_a_process_may_hold():
    begun = [record(number, at=0.0, topic=f"events-{number}") for number in range(4)]
    entries = [one for produced in begun for one in [entry(STARTED, produced, 10.0)]]
    entries += [one for produced in begun for one in handled(produced, 11.0, pid=2)]
    history = changed(
        produced=[*RECORDS, *begun],
        entries=[*GOOD.entries, *entries],
        losses=[Loss(1, 10.5, 10.6, "kill")],
    )
    assert broken(history) == {DUPLICATES}
    assert broken(attrs.evolve(history, max_in_flight=4)) == set()


def test_second_delivery_needs_a_reason_of_its_own():
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0, pid=2), *handled(RECORDS[9], 14.0, pid=3)]
    losses = [Loss(1, 9.5, 9.6, "kill")]
    assert broken(changed(entries=entries, losses=losses)) == {DUPLICATES}
    losses.append(Loss(2, 11.5, 11.6, "kill"))
    assert broken(changed(entries=entries, losses=losses)) == set()


def test_duplicate_in_one_process_needs_a_reason_too():
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0)]
    assert broken(changed(entries=entries)) == {DUPLICATES}


def test_try_after_a_failure_is_no_duplicate():
    failing = record(10, at=10.0)
    entries = [entry(STARTED, failing, 10.2), entry(FAILED, failing, 10.3), *handled(failing, 10.5)]
    history = changed(produced=[*RECORDS, failing], entries=[*GOOD.entries, *entries])
    assert broken(history) == set()


def test_failed_record_may_leave_with_its_partition():
    failing = record(10, at=10.0)
    entries = [entry(STARTED, failing, 10.2), entry(FAILED, failing, 10.3)]
    entries += handled(failing, 10.5, pid=2)
    history = changed(produced=[*RECORDS, failing], entries=[*GOOD.entries, *entries])
    assert broken(history) == set()
    entries += handled(failing, 11.0)
    assert broken(attrs.evolve(history, entries=[*GOOD.entries, *entries])) == {DUPLICATES}


def test_seek_back_excuses_one_more_delivery():
    entries = [*GOOD.entries, *handled(RECORDS[9], 11.0)]
    seeks = [Seek(("events", 0), 9, 10.5, 11.5)]
    assert broken(changed(entries=entries, seeks=seeks)) == set()
    entries += handled(RECORDS[9], 12.0)
    entries += handled(RECORDS[9], 13.0)
    assert broken(changed(entries=entries, seeks=seeks)) == {DUPLICATES}


def test_seek_excuses_nothing_before_its_offset():
    entries = [*GOOD.entries, *handled(RECORDS[8], 11.0)]
    seeks = [Seek(("events", 0), 9, 10.5, 11.5)]
    assert broken(changed(entries=entries, seeks=seeks)) == {DUPLICATES}


def test_record_that_began_before_the_one_ahead_was_finished():
    early = record(10, at=10.0)
    late = record(11, at=10.0)
    entries = [*GOOD.entries, *handled(late, 10.5), *handled(early, 10.55, pid=2)]
    history = changed(produced=[*RECORDS, early, late], entries=entries)
    assert broken(history) == {ORDER}


def test_poison_is_ahead_of_nothing():
    poison, after = record(10, at=10.0), record(11, at=10.1)
    history = changed(
        produced=[*RECORDS, poison, after],
        entries=[*GOOD.entries, *handled(after, 10.5)],
        poison={poison.record},
        dead_letters={poison.record},
    )
    assert broken(history) == set()


def test_committed_offset_that_goes_back():
    committed = commits((2.0, 2), (6.0, 6), (7.0, 5), (11.0, 10))
    assert broken(changed(committed=committed)) == {COMMITS}


def test_new_coordinator_may_show_older_commits_for_a_moment():
    committed = commits((2.0, 2), (6.0, 6), (7.0, 5), (11.0, 10))
    assert broken(changed(committed=committed, outages=[(6.5, 7.5)])) == set()
    assert broken(changed(committed=committed, outages=[(7.5, 8.5)])) == {COMMITS}


def test_seek_takes_the_committed_offset_back():
    committed = commits((2.0, 2), (6.0, 6), (7.0, 5), (11.0, 10))
    seeks = [Seek(("events", 0), 5, 6.5, 6.8)]
    assert broken(changed(committed=committed, seeks=seeks)) == set()
    assert broken(changed(committed=committed, seeks=[Seek(("events", 0), 6, 6.5, 6.8)]))


def test_committed_offset_that_passes_the_unfinished():
    committed = commits((2.0, 2), (6.0, 8), (11.0, 10))
    found = check(changed(committed=committed))
    assert set(found) == {COMMITS}
    assert len(found[COMMITS]) == 2  # 6, which ran, and 7


def test_committed_offsets_begin_again_with_their_topic():
    again = [record(number, at=20.0 + number, offset=number - 10) for number in range(10, 13)]
    entries = [one for produced in again for one in handled(produced, produced.sent_at + 0.2)]
    history = changed(
        produced=[*RECORDS, *again],
        entries=[*GOOD.entries, *entries],
        committed=commits((11.0, 10), (31.5, 1), (33.0, 3)),
        removals=[Removal("events", 12.0, 13.0)],
        ended_at=35.0,
    )
    assert broken(history) == set()


def test_commit_for_a_deleted_topic_passes_what_is_in_the_new_one():
    again = [record(number, at=20.0 + number, offset=number - 10) for number in range(10, 13)]
    entries = [one for produced in again for one in handled(produced, produced.sent_at + 0.2)]
    history = changed(
        produced=[*RECORDS, *again],
        entries=[*GOOD.entries, *entries],
        committed=commits((11.0, 10), (31.5, 10)),
        removals=[Removal("events", 12.0, 13.0)],
        ended_at=35.0,
    )
    assert broken(history) == {COMMITS}


@pytest.mark.parametrize(
    "ended",
    [
        [],
        [Ended("a", "replied", [0], 1.2), Ended("a", "replied", [0], 1.3)],
        [Ended("a", "replied", [0], 20.0)],
        [Ended("a", "replied", [], 1.2)],
        [Ended("a", "replied", [0, 1], 1.2)],
        [Ended("a", "the answer to another", [], 1.2)],
        [Ended("a", "refused", [], 1.2)],
        [Ended("a", "replied", [0], 1.2), Ended("unasked", "replied", [0], 1.3)],
    ],
    ids=[
        "never", "twice", "late", "no reply", "a reply too many", "wrong", "refused in calm",
        "unasked",
    ],
)  # fmt: skip
def test_request_that_ends_as_none_may(ended):
    assert broken(changed(asked=[Asked("a", 9, 1, 5.0, 1.0)], ended=ended)) == {REQUESTS}


@pytest.mark.parametrize("replies", [[0, 2, 1], [0, 1, 1], [1, 2], [0, 1]])
def test_stream_with_wrong_items(replies):
    ended = [Ended("a", "replied", replies, 1.2)]
    assert broken(changed(asked=[Asked("a", 9, 3, 5.0, 1.0)], ended=ended)) == {REQUESTS}


@pytest.mark.parametrize("outcome", ["timed out", "refused"])
def test_fault_excuses_a_request_without_a_reply(outcome):
    ended = [Ended("a", outcome, [0], 1.2)]
    history = changed(asked=[Asked("a", 9, 3, 5.0, 1.0)], ended=ended, calm_since=2.0)
    assert broken(history) == set()


def test_killed_client_leaves_its_requests_open():
    asked = [Asked("a", 9, 1, 5.0, 1.0)]
    killed = [Died(9, "client-1", -9, 2.0, meant=True)]
    assert broken(changed(asked=asked, ended=[], deaths=killed)) == set()
    killed = [Died(9, "client-1", -9, 30.0, meant=True)]
    assert broken(changed(asked=asked, ended=[], deaths=killed)) == {REQUESTS}


def test_process_that_grows():
    usages = [Usage(1, 50_000_000 + second * 2_000_000, 12, float(second)) for second in range(60)]
    assert broken(changed(usages=usages)) == {RESOURCES}


def test_process_that_gathers_threads():
    usages = [Usage(1, 50_000_000, 12 + second // 4, float(second)) for second in range(60)]
    assert broken(changed(usages=usages)) == {RESOURCES}


def test_process_that_is_connected_late_may_grow_before():
    usages = [
        Usage(1, 50_000_000, 12 if second < 30 else 20, float(second)) for second in range(80)
    ]
    connected = [StatusChange(1, "connected", 30.0)]
    assert broken(changed(usages=usages)) == {RESOURCES}
    assert broken(changed(usages=usages, statuses=connected)) == set()


def test_process_that_ends_by_itself():
    deaths = [Died(1, "server-1", 1, 5.0, meant=False)]
    assert broken(changed(deaths=deaths)) == {STATUSES}


def test_process_that_cannot_begin_during_a_fault():
    deaths = [Died(5, "server-2", 1, 5.0, meant=False, began=3.0)]
    assert broken(changed(deaths=deaths)) == {STATUSES}
    assert broken(changed(deaths=deaths, disturbances=[(2.0, 4.0)])) == set()
    assert broken(changed(deaths=deaths, disturbances=[(1.0, 2.0)])) == {STATUSES}
    connected = [StatusChange(5, "connected", 3.5)]
    history = changed(deaths=deaths, disturbances=[(2.0, 4.0)], statuses=connected)
    assert broken(history) == {STATUSES}


def standing(**changes: Any) -> History:
    late = record(10, at=10.0)
    return changed(
        produced=[*RECORDS, late],
        entries=[*GOOD.entries, *handled(late, 60.0)],
        ended_at=61.0,
        **changes,
    )


def test_partition_that_stands_though_all_are_connected():
    assert broken(standing()) == {STATUSES}


def test_partition_that_stands_for_ever_though_all_are_connected():
    late = record(10, at=10.0)
    assert broken(changed(produced=[*RECORDS, late], ended_at=61.0)) == {LOST, STATUSES}


def test_partition_that_stands_and_is_spoken_of():
    told = [StatusChange(1, "disconnected", 12.0), StatusChange(1, "connected", 58.0)]
    assert broken(standing(statuses=[*GOOD.statuses, *told])) == set()


def test_partition_that_stands_during_a_fault():
    assert broken(standing(disturbances=[(11.0, 50.0)])) == set()


def test_partition_that_stands_long_after_a_fault():
    assert broken(standing(disturbances=[(11.0, 20.0)])) == {STATUSES}
