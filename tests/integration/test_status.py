"""The status of clients and servers: to be asked, awaited, iterated and listened to."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time

import pytest
from kafka.errors import InconsistentGroupProtocolError

from kafka_patterns import GroupError, KafkaStatus
from kafka_patterns.testing import ApiKey, EmbeddedBroker
from tests.integration.foreign import ForeignMember
from tests.integration.outage import bring_back, take_away
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually

CONNECTED = KafkaStatus.CONNECTED
DISCONNECTED = KafkaStatus.DISCONNECTED
REBALANCING = KafkaStatus.REBALANCING
CRASHED = KafkaStatus.CRASHED
STOPPED = KafkaStatus.STOPPED


def make(peers: Peers, kind, pattern):
    """A client or a server, and the functions that start and end it."""
    if kind == "client":
        client = peers.client(pattern)
        return client, client.connect, client.close
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    return server, server.start, server.stop


both_kinds = pytest.mark.parametrize("kind", ["client", "server"])


def changes(told: list[KafkaStatus]) -> list[KafkaStatus]:
    """What was told without rebalances, which the broker may ask for at any time."""
    steady = (status for status in told if status is not REBALANCING)
    return [status for status, _ in itertools.groupby(steady)]


def test_the_values_are_those_of_nestjs():
    values = ["connected", "disconnected", "rebalancing", "crashed", "stopped"]
    assert [str(status) for status in KafkaStatus] == values
    assert KafkaStatus("connected") == "connected"


@both_kinds
def test_a_peer_is_connected_until_it_is_stopped(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))
    told: list[KafkaStatus] = []
    peer.status.subscribe(told.append)
    assert peer.status.current is None

    start()
    assert peer.status.current is CONNECTED
    stop()
    assert peer.status.current is STOPPED
    start()
    assert peer.status.current is CONNECTED
    stop()

    eventually(lambda: changes(told) == [CONNECTED, STOPPED] * 2)


@both_kinds
def test_connected_means_usable(peers: Peers, kind):
    pattern = peers.topic(replies=1)
    peer, start, _ = make(peers, kind, pattern)
    other, start_other, _ = make(peers, "server" if kind == "client" else "client", pattern)
    start_other()
    answers = []
    client = peer if kind == "client" else other

    threading.Thread(target=start).start()
    assert peer.status.wait_for(CONNECTED, PATIENCE)
    answers.append(client.send(pattern, "hero", timeout=PATIENCE))

    assert answers == ["hero"]


@both_kinds
def test_late_subscriber_gets_the_latest_value_at_once(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))
    start()
    told: list[KafkaStatus] = []

    with peer.status.subscribe(told.append):
        eventually(lambda: changes(told) == [CONNECTED])
    stop()

    # Unsubscribed, it hears nothing of the stop, of which a second one is told.
    again: list[KafkaStatus] = []
    peer.status.subscribe(again.append)
    eventually(lambda: again == [STOPPED])
    assert changes(told) == [CONNECTED]


@both_kinds
def test_callbacks_run_on_the_callback_thread_in_order(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))
    told, threads = [], set()

    def note(status):
        told.append(status)
        threads.add(threading.current_thread().name)

    peer.status.subscribe(note)
    start()
    stop()

    eventually(lambda: told[-1:] == [STOPPED])
    assert threads == {f"kafka-patterns-hero-{kind}-callbacks"}


@both_kinds
def test_callback_that_fails_disturbs_nobody(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))
    told: list[KafkaStatus] = []

    def fail(status):
        raise ValueError("broken callback")

    peer.status.subscribe(fail)
    peer.status.subscribe(told.append)
    start()
    stop()

    eventually(lambda: told[-1:] == [STOPPED])


@both_kinds
def test_iteration_gives_every_change_and_ends_with_stopped(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))
    start()
    seen, began = [], threading.Event()

    def iterate():
        for status in peer.status:
            seen.append(status)
            began.set()

    thread = threading.Thread(target=iterate)
    thread.start()
    assert began.wait(PATIENCE)
    stop()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert changes(seen) == [CONNECTED, STOPPED]


@both_kinds
def test_waiting_ends_with_the_status_or_the_timeout(peers: Peers, kind):
    peer, start, stop = make(peers, kind, peers.topic(replies=1))

    assert not peer.status.wait_for(CONNECTED, timeout=0.05)
    start()
    assert peer.status.wait_for(CONNECTED, timeout=0)
    assert peer.status.wait_for("connected", timeout=0)
    assert not peer.status.wait_for(STOPPED, timeout=0.05)
    waited = []
    thread = threading.Thread(
        target=lambda: waited.append(peer.status.wait_for(STOPPED, timeout=PATIENCE))
    )
    thread.start()
    stop()
    thread.join(PATIENCE)
    assert waited == [True]


@both_kinds
def test_another_member_makes_it_rebalance(peers: Peers, kind):
    pattern = peers.topic(partitions=2, replies=2)
    peer, start, _ = make(peers, kind, pattern)
    _, start_other, _ = make(peers, kind, pattern)
    start()
    told: list[KafkaStatus] = []

    with peer.status.subscribe(told.append):
        start_other()
        eventually(lambda: told[:3] == [CONNECTED, REBALANCING, CONNECTED], PATIENCE)


@both_kinds
def test_lost_broker_disconnects_until_it_is_back(own_broker: TestBroker, own_peers: Peers, kind):
    pattern = own_peers.topic(replies=1)
    peer, start, stop = make(own_peers, kind, pattern)
    other, start_other, stop_other = make(
        own_peers, "server" if kind == "client" else "client", pattern
    )
    start()
    start_other()
    client = peer if kind == "client" else other
    # All their connections are there then: one that is made amid the end may hang for long.
    assert client.send(pattern, "before", timeout=PATIENCE) == "before"

    take_away(own_broker)
    assert peer.status.wait_for(DISCONNECTED, PATIENCE)
    bring_back(own_broker)
    assert peer.status.wait_for(CONNECTED, PATIENCE)

    assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
    stop()
    stop_other()


@pytest.mark.parametrize(
    "sections",
    [{"reply": {"mode": "direct"}}, {"producer_only_mode": True}],
    ids=["direct", "producer_only"],
)
def test_lost_broker_disconnects_a_client_without_a_group(
    own_broker: TestBroker, own_peers: Peers, sections
):
    pattern = own_peers.topic(replies=1)
    patterns = [] if "producer_only_mode" in sections else [pattern]
    with own_peers.client(*patterns, **sections) as client:
        told: list[KafkaStatus] = []
        client.status.subscribe(told.append)
        client.emit(pattern, "first", timeout=PATIENCE)

        for _ in range(2):
            take_away(own_broker)
            assert client.status.wait_for(DISCONNECTED, PATIENCE)
            bring_back(own_broker)
            assert client.status.wait_for(CONNECTED, PATIENCE)

        assert client.emit(pattern, "last", timeout=PATIENCE).offset == 1
    eventually(lambda: told[-1:] == [STOPPED])
    # A broker that starts may hang up again.
    assert told[::2] == [CONNECTED] * len(told[::2])
    assert told[1:-1:2] == [DISCONNECTED] * len(told[1:-1:2])
    assert told.count(DISCONNECTED) >= 2


@both_kinds
def test_broker_lost_amid_a_rebalance_disconnects_and_ends_nothing_for_good(
    own_broker: TestBroker, own_peers: Peers, kind
):
    peer, start, stop = make(own_peers, kind, own_peers.topic(replies=1))
    start()

    peer.run_on_consumer_thread(lambda consumer: consumer._coordinator.request_rejoin())
    take_away(own_broker)
    assert peer.status.wait_for(DISCONNECTED, PATIENCE)
    bring_back(own_broker)
    assert peer.status.wait_for(CONNECTED, PATIENCE)

    peer.run_on_consumer_thread(lambda consumer: consumer._coordinator.request_rejoin())
    take_away(own_broker)
    assert peer.status.wait_for(DISCONNECTED, PATIENCE)
    started = time.monotonic()
    stop()
    assert time.monotonic() - started < 20


def test_crashed_membership_is_seen_and_begins_anew(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    events = collect_events(server, topic)
    told: list[KafkaStatus] = []

    def explode() -> None:
        raise RuntimeError("a bug in the base")

    def crash_and_serve(event: str) -> None:
        told.clear()
        server.run_on_consumer_thread(
            lambda consumer: setattr(consumer._coordinator, "poll", explode)
        )
        eventually(lambda: CRASHED in told, PATIENCE)
        assert "RuntimeError: a bug in the base" in (server.health().last_error or "")
        assert server.status.wait_for(CONNECTED, PATIENCE)
        wire.produce(topic, event.encode())
        eventually(lambda: event in events, PATIENCE)

    with server:
        server.status.subscribe(told.append)
        crash_and_serve("first")
        crash_and_serve("second")


@contextlib.contextmanager
def refusing(peers: Peers, group_id, topic):
    """A group that accepts no member of ours, for its members use another protocol."""
    if peers.broker.is_real:
        with ForeignMember(
            peers.broker.bootstrap_servers,
            group_id,
            [topic],
            protocol="another-protocol",
            tuning=peers.broker.consumer_tuning,
        ) as foreign:
            eventually(lambda: foreign.given, PATIENCE)
            yield
    else:
        # The embedded broker compares no protocols.
        assert isinstance(peers.broker.backend, EmbeddedBroker)
        peers.broker.backend.push_request_errors(
            ApiKey.JOIN_GROUP, InconsistentGroupProtocolError.errno
        )
        yield


@both_kinds
def test_group_that_refuses_the_member_is_a_crash(peers: Peers, kind):
    pattern = peers.topic(replies=1)
    peer, start, _ = make(peers, kind, pattern)
    told: list[KafkaStatus] = []
    peer.status.subscribe(told.append)

    refusal = f"'{peer.group_id}' does not accept this member"
    with refusing(peers, peer.group_id, pattern), pytest.raises(GroupError, match=refusal):
        start()

    eventually(lambda: CRASHED in told)
    assert CONNECTED not in told
