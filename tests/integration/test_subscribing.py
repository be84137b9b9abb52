"""Reply topics that are added to a connected client, and that several instances share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns import (
    ClientClosed,
    NoReplyPartition,
    NotSubscribedToReply,
    ReplyTopicError,
    RequestTimeout,
)
from kafka_patterns.testing import EmbeddedBroker
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import REPLY_PARTITION, Wire
from tests.support.backends import TestBroker
from tests.support.waiting import eventually

DIRECT = {"mode": "direct"}


def serve_echo(peers: Peers, *patterns):
    server = peers.server(group=f"{peers.group}.echo")
    for pattern in patterns:
        server.message_pattern(pattern)(lambda payload: payload)
    return server.start()


@pytest.mark.parametrize("mode", ["direct", "group"])
def test_topic_is_added_to_a_connected_client(peers: Peers, mode):
    first, added = peers.topic(replies=1), peers.topic(replies=1)
    serve_echo(peers, first, added)

    with peers.client(first, reply={"mode": mode}) as client:
        assert client.send(first, "one", timeout=PATIENCE) == "one"
        client.subscribe_to_response_of(added)
        client.subscribe_to_response_of(added)

        assert client.send(added, "two", timeout=PATIENCE) == "two"
        assert client.send(first, "three", timeout=PATIENCE) == "three"


@pytest.mark.parametrize("mode", ["direct", "group"])
def test_client_that_connected_without_a_reply_topic_can_add_one(peers: Peers, mode):
    pattern, events = peers.topic(replies=1), peers.topic()
    serve_echo(peers, pattern)

    with peers.client(reply={"mode": mode}) as client:
        client.emit(events, "first")
        client.subscribe_to_response_of(pattern)

        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"


def test_requests_go_on_while_a_topic_is_added_to_a_group(peers: Peers):
    first, added = peers.topic(replies=1), peers.topic(replies=1)
    serve_echo(peers, first, added)
    done = threading.Event()

    with peers.client(first) as client, ThreadPoolExecutor(1) as executor:

        def call():
            count = 0
            while count == 0 or not done.is_set():
                count += 1
                assert client.send(first, count, timeout=PATIENCE) == str(count)
            return count

        client.send(first, "warm", timeout=PATIENCE)
        calling = executor.submit(call)
        client.subscribe_to_response_of(added)
        done.set()

        assert calling.result(PATIENCE) > 0
        assert client.send(added, "hero", timeout=PATIENCE) == "hero"


def test_follower_gets_a_topic_that_the_leader_does_not_know(peers: Peers):
    first, added = peers.topic(replies=2), peers.topic(replies=2)
    serve_echo(peers, first, added)

    with peers.client(first) as leader, peers.client(first) as follower:
        follower.subscribe_to_response_of(added)

        answer = eventually(
            lambda: follower.send(added, "hero", timeout=PATIENCE),
            PATIENCE,
            retry_on=NoReplyPartition,
        )
        assert answer == "hero"
        assert leader.send(first, "leader", timeout=PATIENCE) == "leader"


@pytest.mark.parametrize("how", ["send", "send_future", "stream", "gather"])
def test_first_request_subscribes_by_itself_in_direct_mode(peers: Peers, how):
    pattern = peers.topic(replies=1)
    serve_echo(peers, pattern)
    client = peers.client(reply=DIRECT)
    ask = {
        "send": lambda: client.send(pattern, "x", timeout=PATIENCE),
        "send_future": lambda: client.send_future(pattern, "x", timeout=PATIENCE).result(PATIENCE),
        "stream": lambda: next(client.stream(pattern, "x", timeout=PATIENCE)),
        "gather": lambda: client.gather(pattern, "x", expected=1, timeout=PATIENCE).values[0],
    }

    assert ask[how]() == "x"
    assert ask[how]() == "x"


def test_first_requests_of_many_threads_subscribe_once(peers: Peers):
    pattern = peers.topic(replies=3)
    serve_echo(peers, pattern)

    with peers.client(reply=DIRECT) as client, ThreadPoolExecutor(16) as executor:
        answers = list(executor.map(lambda n: client.send(pattern, n, timeout=PATIENCE), range(64)))

    assert answers == [str(number) for number in range(64)]


@pytest.mark.parametrize("connected", [True, False])
def test_request_whose_reply_topic_is_unfit_harms_no_other(peers: Peers, connected):
    good, bad = peers.topic(replies=2), peers.topic(replies=1)
    serve_echo(peers, good, bad)
    client = peers.client(reply={**DIRECT, "partition": 1})
    if connected:
        client.connect()

    with pytest.raises(ReplyTopicError, match=f"{bad}.reply"):
        client.send(bad, "hero", timeout=PATIENCE)

    assert client.send(good, "hero", timeout=PATIENCE) == "hero"
    client.close()
    with client.connect():
        assert client.send(good, "again", timeout=PATIENCE) == "again"


def test_in_a_group_a_request_does_not_subscribe_by_itself(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    with peers.client() as client, pytest.raises(NotSubscribedToReply, match="first"):
        client.send(pattern, "hero")

    assert wire.ends(pattern) == {0: 0}


def test_instances_spread_over_the_partitions(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=8)
    clients = [peers.client(pattern, reply=DIRECT) for _ in range(6)]

    for client in clients:
        client.send_future(pattern, "x", timeout=PATIENCE)
    eventually(lambda: wire.ends(pattern) == {0: 6})

    # Six draws of eight are the same number once in 32,768 runs.
    assert len({record.header(REPLY_PARTITION) for record in wire.records(pattern)}) > 1


def test_chosen_partition_goes_before_the_drawn_one(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=4)
    serve_echo(peers, pattern)

    with peers.client(reply={**DIRECT, "partition": 2}) as client:
        assert client.send(pattern, "x", timeout=PATIENCE) == "x"
        assert client.health().reply_partitions == {f"{pattern}.reply": 2}


def test_partition_that_the_topic_does_not_have_says_the_command(peers: Peers):
    pattern = peers.topic(replies=2)
    client = peers.client(pattern, reply={**DIRECT, "partition": 5})

    with pytest.raises(ReplyTopicError) as refusal:
        client.connect()

    (broker, *_) = peers.broker.bootstrap_servers
    assert "has 2 partitions, but 6 are needed" in str(refusal.value)
    assert (
        f"kafka-topics.sh --bootstrap-server {broker} --alter --topic {pattern}.reply "
        "--partitions 6"
    ) in str(refusal.value)


def test_close_ends_a_request_that_subscribes(own_broker: TestBroker, own_peers: Peers):
    client = own_peers.client(reply={**DIRECT, "partition": 1}).connect()
    errors: list[BaseException] = []

    def ask():
        try:
            client.send("hero.nowhere", "x", timeout=PATIENCE)
        except (ClientClosed, ReplyTopicError) as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    client.close()
    thread.join(PATIENCE)

    assert len(errors) == 1


@pytest.mark.parametrize("mode", ["direct", "group"])
def test_partition_without_leader_delays_nothing_but_itself(
    own_broker: TestBroker, own_peers: Peers, mode
):
    if own_broker.is_real:
        pytest.skip("a single broker leads all partitions")
    embedded = own_broker.backend
    assert isinstance(embedded, EmbeddedBroker)
    good, bad = own_peers.topic(replies=1), own_peers.topic(replies=1)
    serve_echo(own_peers, good, bad)
    embedded.set_partition_leader(f"{bad}.reply", 0, None)

    with own_peers.client(good, bad, reply={"mode": mode}) as client:
        assert client.send(good, "hero", timeout=PATIENCE) == "hero"
        with pytest.raises(NoReplyPartition, match="leader does not answer"):
            client.send(bad, "hero", timeout=PATIENCE)

        embedded.set_partition_leader(f"{bad}.reply", 0, 1)
        answer = eventually(
            lambda: client.send(bad, "hero", timeout=PATIENCE),
            PATIENCE,
            retry_on=(NoReplyPartition, RequestTimeout),
        )
        assert answer == "hero"
