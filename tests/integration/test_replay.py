"""Dead letters are looked at, and replayed once, to the group that gave them up."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    DeadLetterRecord,
    GroupError,
    MemoryStore,
    ReplayReport,
    TransportError,
    idempotent,
    inspect_dead_letters,
    replay,
)
from kafka_patterns.failures.replay_state import ReplayState
from tests.integration.dead_letters import produce_dead_letter
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually


class Office:
    """An original topic, its dead letter topic, and replays from one to the other."""

    def __init__(self, peers: Peers, wire: Wire, *, partitions: int = 1) -> None:
        self.wire = wire
        self.options = peers.options()
        self.topic = peers.topic("orders", partitions=partitions)
        self.dead = peers.topic("orders-dlt", partitions=partitions)

    def bury(self, *values: str, **fields: Any) -> None:
        for value in values:
            fields.setdefault("original_topic", self.topic)
            produce_dead_letter(self.wire, self.dead, value.encode(), **fields)

    def replay(self, **arguments: Any) -> ReplayReport:
        arguments.setdefault("dry_run", False)
        return replay(self.dead, options=self.options, **arguments)

    def arrived(self, topic: str | None = None) -> list[str]:
        return [(r.value or b"").decode() for r in self.wire.records(topic or self.topic)]


@pytest.fixture
def office(peers: Peers, wire: Wire) -> Office:
    return Office(peers, wire)


def is_in(*payloads: str) -> Any:
    return lambda letter: letter.payload in payloads


def counts(report: ReplayReport) -> Mapping[str, int]:
    names = ("read", "skipped", "already_replayed", "matched", "replayed", "unroutable", "failed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


# Inspecting


def test_dead_letters_are_values(office: Office):
    produce_dead_letter(
        office.wire,
        office.dead,
        b'{"id":1}',
        original_topic="orders",
        original_partition=3,
        original_offset=2**40,
        group="hero-server",
        key=b"k",
        headers=[("realm", b"Nest"), ("realm", b"\xff")],
    )

    (letter,) = inspect_dead_letters(office.dead, options=office.options)

    assert letter.timestamp > 0
    assert letter == DeadLetterRecord(
        topic=office.dead,
        partition=0,
        offset=0,
        timestamp=letter.timestamp,
        key=b"k",
        value=b'{"id":1}',
        headers=[("realm", b"Nest"), ("realm", b"\xff")],
        original_topic="orders",
        original_partition=3,
        original_offset=2**40,
        original_timestamp=1_700_000_000_000,
        consumer_group="hero-server",
        exception="builtins.ValueError",
        exception_cause=None,
        exception_message="zu groß",
        stack_trace="Traceback ...",
        replays=0,
    )
    assert letter.payload == {"id": 1}


def test_inspection_takes_what_is_wanted_and_ends(office: Office):
    office.bury(*"abcde")

    def seen(**arguments: Any) -> list[Any]:
        letters = inspect_dead_letters(office.dead, options=office.options, **arguments)
        return [letter.payload for letter in letters]

    assert seen() == [*"abcde"]
    assert seen(where=is_in("b", "d")) == ["b", "d"]
    assert seen(limit=2) == ["a", "b"]
    assert next(inspect_dead_letters(office.dead, options=office.options)).payload == "a"


def test_empty_topic_has_no_dead_letters(office: Office):
    assert list(inspect_dead_letters(office.dead, options=office.options)) == []
    assert counts(office.replay()) == {}


# What is sent


def test_replayed_message_is_the_original_with_a_trace(office: Office):
    produce_dead_letter(
        office.wire,
        office.dead,
        b"\x00\xff",
        original_topic=office.topic,
        original_offset=5,
        group="hero-server",
        key=b"k",
        headers=[
            *(("realm", b"Nest"), ("realm", b""), ("retry_topic-attempts", b"\x01")),
            *(("kafka_correlationId", b"id"), ("kafka_replyTopic", b"x.reply")),
        ],
    )

    office.replay()

    (record,) = office.wire.records(office.topic)
    assert (record.key, record.value) == (b"k", b"\x00\xff")
    assert record.headers == [
        ("realm", b"Nest"),
        ("realm", b""),
        ("kafka_correlationId", b"id"),
        ("kafka_patterns-replay-origin", f"{office.topic}/0/5".encode()),
        ("kafka_patterns-replayed-from", f"{office.dead}/0/0".encode()),
        ("kafka_patterns-replays", b"1"),
        ("kafka_patterns-replay-group", b"hero-server"),
    ]


def test_tombstones_and_messages_go_back_to_their_partitions(peers: Peers, wire: Wire):
    office = Office(peers, wire, partitions=3)
    for partition in (2, 0):
        produce_dead_letter(
            *(wire, office.dead, None),
            key=b"k",
            partition=partition,
            original_topic=office.topic,
            original_partition=partition,
        )
    produce_dead_letter(
        wire, office.dead, b"no such partition", original_topic=office.topic, original_partition=9
    )

    assert counts(office.replay()) == {"read": 3, "matched": 3, "replayed": 3}

    records = wire.records(office.topic)
    assert sorted(r.partition for r in records if r.value is None) == [0, 2]
    assert len(records) == 3


def test_replays_are_counted_in_the_message(office: Office):
    office.bury(
        "a", headers=[("kafka_patterns-replays", b"2"), ("kafka_patterns-replay-group", b"x")]
    )

    office.replay(all_groups=True)

    (record,) = office.wire.records(office.topic)
    assert record.header("kafka_patterns-replays") == b"3"
    assert "kafka_patterns-replay-group" not in record.header_names


def test_letters_may_be_sent_elsewhere(peers: Peers, office: Office):
    other = peers.topic()
    office.bury("a", group="hero-server")
    office.bury("b", original_topic=None)

    report = office.replay(to=other)

    assert counts(report) == {"read": 2, "matched": 2, "replayed": 2}
    assert report.targets == {other: 2}
    records = office.wire.records(other)
    assert [record.value for record in records] == [b"a", b"b"]
    assert all("kafka_patterns-replay-group" not in record.header_names for record in records)
    assert office.arrived() == []


def test_letters_that_do_not_say_where_from_are_counted_and_stay(office: Office, caplog):
    office.bury("alien", original_topic=None)
    office.bury("a")

    assert counts(office.replay()) == {"read": 2, "matched": 2, "replayed": 1, "unroutable": 1}
    assert "does not say which topic it came from" in caplog.text
    assert counts(office.replay(to=office.topic)) == {
        "read": 2,
        "already_replayed": 1,
        "matched": 1,
        "replayed": 1,
    }
    assert office.arrived() == ["a", "alien"]


# What is counted, and what is not sent twice


def test_dry_run_is_the_default_and_changes_nothing(office: Office):
    office.bury(*"abc")

    report = replay(office.dead, where=is_in("a", "c"), options=office.options)

    assert report.dry_run
    assert counts(report) == {"read": 3, "skipped": 1, "matched": 2}
    assert report.targets == {office.topic: 2}
    assert office.arrived() == []
    assert counts(office.replay()) == {"read": 3, "matched": 3, "replayed": 3}


def test_no_letter_is_replayed_twice_whatever_was_wanted(office: Office):
    office.bury(*"abcdef")

    assert counts(office.replay(where=is_in("b", "e")))["replayed"] == 2
    assert counts(office.replay(limit=2)) == {
        "read": 3,
        "already_replayed": 1,
        "matched": 2,
        "replayed": 2,
    }
    assert office.arrived() == [*"beac"]
    assert counts(office.replay()) == {
        "read": 3,
        "already_replayed": 1,
        "matched": 2,
        "replayed": 2,
    }
    assert counts(office.replay()) == {}
    office.bury("g")
    assert counts(office.replay()) == {"read": 1, "matched": 1, "replayed": 1}
    assert office.arrived() == [*"beacdfg"]


def test_replayed_again_only_if_asked(office: Office):
    office.bury(*"ab")
    office.replay()

    assert counts(office.replay(again=True)) == {"read": 2, "matched": 2, "replayed": 2}
    assert counts(office.replay(group_id="another")) == {"read": 2, "matched": 2, "replayed": 2}
    assert counts(office.replay()) == {}
    assert office.arrived() == [*"ababab"]


def test_failing_filter_leaves_what_was_replayed_noted(office: Office):
    office.bury(*"abcd")

    def where(letter: DeadLetterRecord) -> bool:
        if letter.payload == "c":
            raise LookupError("no such order")
        return True

    with pytest.raises(LookupError):
        office.replay(where=where)
    assert counts(office.replay())["replayed"] == 2
    assert office.arrived() == [*"abcd"]


def test_what_a_killed_run_sent_without_noting_it_is_not_sent_again(office: Office, monkeypatch):
    office.bury(*"abcd")

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ReplayState, "end_window", dies)
        with pytest.raises(Killed):
            office.replay(limit=3)
    sent = len(office.arrived())
    assert sent in (1, 2, 3)
    # A stranger's message that says it was the last letter is not it.
    last = ("kafka_patterns-replayed-from", f"{office.dead}/0/3".encode())
    office.wire.produce(office.topic, b"d", key=None, headers=[last])

    dry = replay(office.dead, options=office.options)
    assert counts(dry) == {"read": 4 - sent, "matched": 4 - sent}
    assert counts(office.replay())["replayed"] == 4 - sent
    assert sorted(office.arrived()) == [*"abcdd"]


def test_run_that_is_killed_is_resumed_without_a_gap_or_a_repetition(
    office: Office, start_python: Callable[..., ManagedProcess]
):
    office.bury(*(f"{number:03}" for number in range(300)))
    program = "import json, sys; from kafka_patterns import replay; "
    program += "replay(sys.argv[1], rate=60, dry_run=False, options=json.loads(sys.argv[2]))"
    arguments = ("-c", program, office.dead, json.dumps(office.options))

    def has_sent(least: int) -> Callable[[], bool]:
        return lambda: len(office.arrived()) >= least

    for least in (40, 120):
        process = start_python(*arguments)
        eventually(has_sent(least), PATIENCE)
        process.kill()
        assert process.wait() == -signal.SIGKILL

    office.replay()

    assert sorted(office.arrived()) == [f"{number:03}" for number in range(300)]


def test_second_run_is_refused_and_the_first_goes_on(office: Office):
    office.bury(*(f"{number:03}" for number in range(400)))
    refused = threading.Event()
    reports: list[ReplayReport] = []

    def until_refused(_: DeadLetterRecord) -> bool:
        return not refused.is_set()

    first = threading.Thread(
        target=lambda: reports.append(office.replay(where=until_refused, rate=5))
    )
    first.start()
    eventually(office.arrived)
    with pytest.raises(GroupError, match=r"another replay of 'orders-dlt.* is running"):
        office.replay()
    refused.set()
    first.join(PATIENCE)

    (report,) = reports
    assert report.replayed == len(office.arrived())
    assert report.replayed + report.skipped == 400
    assert counts(office.replay())["replayed"] == report.skipped


def test_rate_is_kept(office: Office):
    office.bury(*"abcdef")
    begun = time.monotonic()
    office.replay(rate=20)

    assert time.monotonic() - begun >= 5 / 20


def test_more_letters_than_a_window(office: Office):
    office.bury(*(f"{number:03}" for number in range(250)))

    assert (
        counts(office.replay(where=lambda letter: int(letter.payload) % 2 == 0))["replayed"] == 125
    )
    assert counts(office.replay())["replayed"] == 125
    assert len(set(office.arrived())) == 250


# Who handles it


def test_only_the_group_that_gave_it_up_handles_it_again(peers: Peers, office: Office):
    ours, others = peers.server("ours"), peers.server("others")
    seen, seen_by_others = (
        collect_events(ours, office.topic),
        collect_events(others, office.topic),
    )
    office.bury("a", group=ours.group_id)
    office.bury("b", group=None)

    with ours, others:
        office.replay()
        eventually(lambda: seen == ["a", "b"] and seen_by_others == ["b"])
        groups = (ours.group_id, others.group_id)
        eventually(
            lambda: [office.wire.committed(group, office.topic) for group in groups] == [{0: 2}] * 2
        )
        assert others.health().counters["replays_of_others"] == 1
        assert others.health().in_flight == 0

        office.replay(again=True, all_groups=True, where=is_in("a"))
        eventually(lambda: seen_by_others == ["b", "a"])


def test_idempotent_handler_takes_all_replays_for_the_original(peers: Peers, office: Office):
    server = peers.server()
    handled = []

    @server.event_pattern(office.topic)
    @idempotent(store=MemoryStore())
    def on_order(order: str) -> None:
        handled.append(order)

    office.bury("a", group=server.group_id, original_offset=77)

    with server:
        office.replay()
        office.replay(again=True)
        eventually(lambda: office.wire.committed(server.group_id, office.topic) == {0: 2})

    assert handled == ["a"]


# Misuse


def test_arguments_that_cannot_work_are_refused(office: Office):
    for arguments in ({"limit": 0}, {"rate": 0}, {"to": "no topic"}, {"to": office.dead}):
        with pytest.raises(ConfigurationError):
            office.replay(**arguments)
    with pytest.raises(ConfigurationError):
        inspect_dead_letters("no topic")


def test_topics_that_do_not_exist_are_named(office: Office, peers: Peers):
    office.bury("a")
    with pytest.raises(TransportError, match="topic 'missing-dlt' does not exist"):
        replay("missing-dlt", options=office.options)
    with pytest.raises(TransportError, match="topic 'missing' does not exist"):
        office.replay(to="missing")
    assert counts(office.replay()) == {"read": 1, "matched": 1, "replayed": 1}
