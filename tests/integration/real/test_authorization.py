"""A right that is missing is named at once, and costs nobody else anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns import (
    CommitFailed,
    GroupError,
    KafkaContext,
    KafkaStatus,
    NoReplyPartition,
    NotAuthorized,
    RequestTimeout,
    SendFailed,
    StalledPartition,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.real.guarded_kafka import GuardedKafka
from tests.integration.real.secure_kafka import ALICE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

SOON = 15.0
"""Far below the half minute after which a missing topic or answer is given up."""


class Alice(Peers):
    """Makes what belongs to her."""

    def options(self, group: str | None = None, **sections: Any) -> dict[str, Any]:
        sections["client"] = {"sasl": {"mechanism": "plain", **ALICE}, **sections.get("client", {})}
        return super().options(group, **sections)


@pytest.fixture(scope="module")
def guarded(kafka_version: str) -> Iterator[GuardedKafka]:
    kafka = GuardedKafka(kafka_version)
    yield kafka
    kafka.close()


@pytest.fixture
def alice(guarded: GuardedKafka) -> Iterator[Alice]:
    peers = Alice(guarded.as_alice)
    for role in ("server", "client"):
        guarded.allow("group", f"{peers.group}-{role}", "READ")
    yield peers
    peers.close()


@pytest.fixture
def somebody(guarded: GuardedKafka) -> Iterator[Peers]:
    """Who may do everything."""
    peers = Peers(guarded.as_anybody)
    yield peers
    peers.close()


def raised_soon(kind: type[Exception], call: Callable[[], object]) -> str:
    """What *call* soon fails with."""
    started = time.monotonic()
    with pytest.raises(kind) as error:
        call()
    assert time.monotonic() - started < SOON
    return str(error.value)


@pytest.mark.parametrize(("granted", "named"), [([], "DESCRIBE"), (["DESCRIBE"], "READ")])
def test_server_without_the_right_to_a_topic_says_so_at_once(guarded, alice, granted, named):
    readable, unreadable = alice.topic(), alice.topic()
    guarded.allow("topic", readable, "READ")
    guarded.allow("topic", unreadable, *granted) if granted else None
    server = alice.server()
    for topic in (readable, unreadable):
        collect_events(server, topic)

    text = raised_soon(NotAuthorized, server.start)

    assert named in text
    assert "READ" in text
    assert unreadable in text
    assert readable not in text


def test_all_topics_that_may_not_be_read_are_named_together(guarded, alice):
    topics = [alice.topic() for _ in range(3)]
    server = alice.server()
    for topic in topics:
        collect_events(server, topic)

    text = raised_soon(NotAuthorized, server.start)

    assert all(topic in text for topic in topics)


@pytest.mark.parametrize("role", ["server", "client"])
def test_group_that_may_not_be_joined_is_named_at_once(guarded, alice, role):
    topic = alice.topic(replies=1)
    guarded.allow("topic", topic, "READ")
    guarded.allow("topic", f"{topic}.reply", "READ")
    guarded.withdraw("group", f"{alice.group}-{role}", "READ")
    if role == "server":
        server = alice.server()
        collect_events(server, topic)
        text = raised_soon(GroupError, server.start)
    else:
        text = raised_soon(GroupError, alice.client(topic, reply={"mode": "group"}).connect)

    assert "READ" in text
    assert f"{alice.group}-{role}" in text


@pytest.mark.parametrize("granted", [[], ["DESCRIBE"]])
@pytest.mark.parametrize("mode", ["direct", "group"])
def test_client_that_may_not_read_its_replies_says_so_at_once(guarded, alice, granted, mode):
    topic = alice.topic(replies=1)
    guarded.allow("topic", topic, "WRITE")
    guarded.allow("topic", f"{topic}.reply", *granted) if granted else None
    client = alice.client(topic, reply={"mode": mode})

    for call in (client.connect, lambda: client.send(topic, "hero", timeout=PATIENCE)):
        text = raised_soon(NotAuthorized, call)
        assert "READ" in text
        assert f"{topic}.reply" in text


@pytest.mark.parametrize("granted", [[], ["DESCRIBE"]])
def test_sending_without_the_right_to_write_says_so_at_once(guarded, alice, granted):
    topic, allowed = alice.topic(replies=1), alice.topic()
    guarded.allow("topic", allowed, "WRITE")
    guarded.allow("topic", f"{topic}.reply", "READ")
    guarded.allow("topic", topic, *granted) if granted else None

    with alice.client(topic, reply={"mode": "direct"}) as client:
        client.emit(allowed, "before")
        texts = [
            raised_soon(SendFailed, lambda: client.emit(topic, "hero", timeout=PATIENCE)),
            raised_soon(SendFailed, lambda: client.send(topic, "hero", timeout=PATIENCE)),
            raised_soon(SendFailed, lambda: client.emit_batch(topic, [1, 2], timeout=PATIENCE)),
        ]
        client.emit(allowed, "after")
        assert all("WRITE" in text and topic in text for text in texts)

        guarded.allow("topic", topic, "WRITE")
        eventually(lambda: client.emit(topic, "hero").topic == topic, PATIENCE, retry_on=SendFailed)


def test_topic_that_may_not_be_read_any_more_stands_and_others_go_on(guarded, alice, somebody):
    kept, taken = alice.topic(partitions=2), alice.topic()
    guarded.allow("topic", kept, "READ")
    guarded.allow("topic", taken, "READ")
    server = alice.server(consumer={"metadata_max_age_ms": 500})
    events = {topic: collect_events(server, topic) for topic in (kept, taken)}

    with server, somebody.client() as client:
        client.emit(taken, "first")
        eventually(lambda: events[taken] == ["first"], PATIENCE)
        guarded.withdraw("topic", taken, "READ")
        before = time.time()

        eventually(lambda: stalled_of(server, taken), PATIENCE)
        stalled = stalled_of(server, taken)
        assert stalled is not None
        for number in range(20):
            client.emit(kept, number)
        client.emit(taken, "second")
        eventually(lambda: sorted(map(int, events[kept])) == list(range(20)), PATIENCE)
        health = server.health()

        assert health.status is KafkaStatus.CONNECTED
        assert (stalled.partition, stalled.offset) == (0, 1)
        assert "READ" in stalled.reason
        assert taken in (health.last_error or "")
        assert before - 5 < stalled.since <= time.time()
        assert events[taken] == ["first"]
        # The commits of others go on as well.
        eventually(lambda: sum(v or 0 for v in lag_of(server, kept)) == 0, PATIENCE)

        guarded.allow("topic", taken, "READ")
        eventually(lambda: events[taken] == ["first", "second"], PATIENCE)
        eventually(lambda: not server.health().stalled, PATIENCE)


def stalled_of(server: Any, topic: str) -> StalledPartition | None:
    return next((one for one in server.health().stalled if one.topic == topic), None)


def lag_of(server: Any, topic: str) -> list[int | None]:
    return [lag for tp, lag in server.health().assignment.items() if tp.topic == topic]


@pytest.mark.parametrize("withdrawn", [["READ"], ["READ", "DESCRIBE"]], ids="+".join)
def test_what_may_be_opened_is_opened_after_a_rebalance(guarded, alice, somebody, withdrawn):
    kept, taken = alice.topic(), alice.topic()
    for topic in (kept, taken):
        guarded.allow("topic", topic, "READ", "DESCRIBE")
    first, second = alice.server(), alice.server()
    events = [collect_events(server, topic) for server in (first, second) for topic in (kept,)]
    for server in (first, second):
        collect_events(server, taken)

    with somebody.client() as client:
        first.start()
        second.start()
        guarded.withdraw("topic", taken, *withdrawn)
        second.stop()
        eventually(lambda: len(first.health().assignment) == 2 or first.health().stalled, PATIENCE)
        client.emit(kept, "hero")
        eventually(lambda: "hero" in events[0] + events[1], PATIENCE)
        eventually(lambda: stalled_of(first, taken), PATIENCE)
        assert first.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)


def test_commit_by_hand_is_no_victim_of_a_forbidden_topic(guarded, alice, somebody):
    kept, taken = alice.topic(), alice.topic()
    for topic in (kept, taken):
        guarded.allow("topic", topic, "READ", "DESCRIBE")
    server = alice.server(run={"auto_commit": False})
    ended: dict[str, list[Any]] = {kept: [], taken: []}

    def handle(event: Any, context: KafkaContext) -> None:
        if event == "forbid":
            guarded.withdraw("topic", taken, "READ")
        try:
            context.commit()
        except CommitFailed as error:
            ended[context.topic].append(type(error).__name__)
            return
        ended[context.topic].append("committed")

    for topic in (kept, taken):
        server.event_pattern(topic)(handle)

    with server, somebody.client() as client:
        client.emit(taken, "forbid")
        eventually(lambda: ended[taken], PATIENCE)
        client.emit(kept, "hero")
        eventually(lambda: ended[kept], PATIENCE)

    assert ended == {taken: ["CommitFailed"], kept: ["committed"]}


@pytest.mark.parametrize("granted", [[], ["DESCRIBE"]])
def test_reply_that_may_not_be_written_is_told(guarded, alice, somebody, granted, caplog):
    pattern, other = alice.topic(replies=1), alice.topic(replies=1)
    for topic in (pattern, other):
        guarded.allow("topic", topic, "READ")
    guarded.allow("topic", f"{other}.reply", "WRITE")
    guarded.allow("topic", f"{pattern}.reply", *granted) if granted else None
    server = alice.server()
    for topic in (pattern, other):
        server.message_pattern(topic)(lambda payload: payload)

    with server, somebody.client(pattern, other) as client:
        future = client.send_future(pattern, "lost", timeout=PATIENCE)
        eventually(lambda: server.health().counters.get("replies_forbidden"), SOON)
        assert client.send(other, [1], timeout=PATIENCE) == [1]
        health = server.health()
        future.cancel()

        assert "WRITE" in (health.last_error or "")
        assert f"{pattern}.reply" in (health.last_error or "")
        assert health.counters["replies_failed"] == 1
        assert f"{pattern}.reply" in caplog.text
        # The answered one leaves once its reply is acknowledged; its caller may be earlier.
        eventually(lambda: server.health().in_flight == 0, PATIENCE)

        guarded.allow("topic", f"{pattern}.reply", "WRITE")

        def answered() -> bool:
            try:
                return bool(client.send(pattern, [2], timeout=2) == [2])
            except RequestTimeout:
                return False

        eventually(answered, PATIENCE)
        eventually(lambda: server.health().last_error is None, PATIENCE)


def test_reply_topic_that_may_not_be_read_any_more_is_no_others_harm(guarded, alice, somebody):
    kept, taken = alice.topic(replies=1), alice.topic(replies=1)
    for topic in (kept, taken):
        guarded.allow("topic", topic, "WRITE")
        guarded.allow("topic", f"{topic}.reply", "READ")
    server = somebody.server()
    for topic in (kept, taken):
        server.message_pattern(topic)(lambda payload: payload)

    with server, alice.client(kept, taken, reply={"mode": "direct"}) as client:
        assert client.send(taken, [0], timeout=PATIENCE) == [0]
        guarded.withdraw("topic", f"{taken}.reply", "READ")
        eventually(lambda: client.health().stalled, PATIENCE)

        text = raised_soon(NoReplyPartition, lambda: client.send(taken, [1], timeout=PATIENCE))
        assert "READ" in text
        assert f"{taken}.reply" in (client.health().last_error or "")
        assert client.send(kept, [2], timeout=PATIENCE) == [2]

        guarded.allow("topic", f"{taken}.reply", "READ")
        eventually(lambda: not client.health().stalled, PATIENCE)
        assert client.send(taken, [3], timeout=PATIENCE) == [3]
