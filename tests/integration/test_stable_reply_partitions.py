"""A live client keeps its reply partition, and every reply to it, across joins and leaves."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest

from kafka_patterns import KafkaContext, NoReplyPartition
from tests.integration.foreign import ForeignMember
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import REPLY_PARTITION
from tests.support.waiting import eventually

PROTOCOL = "NestReplyPartitionAssigner"
FOREIGN_CLAIM = b'{"previousAssignment":{"somewhere.else.reply":0}}'


def serve_partitions(peers: Peers, pattern, gate=None):
    """Start a server that answers with the reply partition that the request names."""
    server = peers.server()

    @server.message_pattern(pattern)
    def reply_partition(payload, context: KafkaContext):
        if payload == "wait" and gate is not None:
            assert gate.wait(PATIENCE)
        return context.message.headers[REPLY_PARTITION]

    return server.start()


def named(client, pattern):
    """The reply partition that *client* names in its requests."""
    return int(client.send(pattern, "where?", timeout=PATIENCE))


def foreign_member(peers: Peers, group_id, reply_topic, claim=FOREIGN_CLAIM, plan=None):
    """A member of another implementation; it leads if it is the first."""
    return ForeignMember(
        peers.broker.bootstrap_servers,
        group_id,
        [reply_topic],
        protocol=PROTOCOL,
        tuning=peers.broker.consumer_tuning,
        user_data=claim,
        plan=plan,
    )


def gives_ours(assignment):
    """A plan of a foreign leader: *assignment* for our client, nothing for itself."""
    return lambda claims: dict.fromkeys(ours_among(claims), assignment)


def ours_among(claims):
    return [member for member in claims if claims[member].user_data != FOREIGN_CLAIM]


def test_live_clients_keep_their_partitions_while_others_come_and_go(peers: Peers):
    pattern = peers.topic(replies=3)
    serve_partitions(peers, pattern)

    with contextlib.ExitStack() as others, peers.client(pattern) as steady:
        assert named(steady, pattern) == 0
        leaving = others.enter_context(peers.client(pattern))
        staying = others.enter_context(peers.client(pattern))
        held_by_leaving, held_by_staying = named(leaving, pattern), named(staying, pattern)
        assert {held_by_leaving, held_by_staying} == {1, 2}
        assert named(steady, pattern) == 0

        leaving.close()
        coming = others.enter_context(peers.client(pattern))

        assert named(coming, pattern) == held_by_leaving
        assert named(staying, pattern) == held_by_staying
        assert named(steady, pattern) == 0


def test_clients_hold_a_partition_of_every_reply_topic(peers: Peers):
    patterns = [peers.topic(replies=2), peers.topic(replies=2)]
    server = peers.server()

    @server.message_pattern(patterns)
    def reply_partition(payload, context: KafkaContext):
        return context.message.headers[REPLY_PARTITION]

    with server, peers.client(*patterns) as first, peers.client(*patterns) as second:
        assert [named(first, pattern) for pattern in patterns] == [0, 0]
        assert [named(second, pattern) for pattern in patterns] == [1, 1]


def test_reply_under_way_survives_a_rebalance(peers: Peers, gate: threading.Event):
    pattern = peers.topic(replies=2)
    serve_partitions(peers, pattern, gate)

    with peers.client(pattern) as client:
        under_way = client.send_future(pattern, "wait", timeout=PATIENCE)
        with peers.client(pattern) as other:
            assert named(other, pattern) == 1
            gate.set()

            assert under_way.result(PATIENCE) == "0"


def test_partition_that_moved_away_is_read_until_its_last_request_ended(
    peers: Peers, gate: threading.Event
):
    pattern = peers.topic(replies=2)
    reply_topic = f"{pattern}.reply"
    serve_partitions(peers, pattern, gate)
    client = peers.client(pattern)

    with foreign_member(peers, client.group_id, reply_topic) as leader:
        eventually(lambda: leader.given, PATIENCE)
        leader.lead_by(gives_ours({reply_topic: [0]}))
        with client:
            assert named(client, pattern) == 0
            under_way = client.send_future(pattern, "wait", timeout=PATIENCE)

            leader.lead_by(gives_ours({reply_topic: [1]}))
            eventually(lambda: named(client, pattern) == 1, PATIENCE)
            gate.set()

            assert under_way.result(PATIENCE) == "0"


def test_client_speaks_the_protocol_of_nestjs_byte_for_byte(peers: Peers):
    pattern = peers.topic(replies=2)
    reply_topic = f"{pattern}.reply"
    serve_partitions(peers, pattern)
    client = peers.client(pattern)
    plan = gives_ours({reply_topic: [1]})

    with foreign_member(peers, client.group_id, reply_topic, plan=plan) as leader:
        eventually(lambda: leader.given, PATIENCE)
        with client:
            assert named(client, pattern) == 1
            joined = len(leader.claims)
            leader.lead_by(plan)
            eventually(lambda: len(leader.claims) > joined, PATIENCE)

    # A join may be begun anew, by the broker or by its leader: then the same is said again.
    said = [claims[ours].encode() for claims in leader.claims for ours in ours_among(claims)]
    topic = reply_topic.encode()
    subscription = b"\x00\x01" + b"\x00\x00\x00\x01" + length_of(topic, 2) + topic
    at_first = b'{"previousAssignment":{}}'
    then = b'{"previousAssignment":{"%s":1}}' % topic
    assert [claim for claim, _ in itertools.groupby(said)] == [
        subscription + length_of(at_first, 4) + at_first,
        subscription + length_of(then, 4) + then,
    ]


def length_of(data, size):
    return len(data).to_bytes(size, "big")


def test_leading_client_gives_a_nestjs_member_what_it_claims(peers: Peers):
    pattern = peers.topic(replies=3)
    reply_topic = f"{pattern}.reply"
    serve_partitions(peers, pattern)
    claim = b'{"previousAssignment":{"%s":2}}' % reply_topic.encode()

    with peers.client(pattern) as client:
        assert named(client, pattern) == 0
        with foreign_member(peers, client.group_id, reply_topic, claim) as follower:
            (given,) = eventually(lambda: follower.given[:1], PATIENCE)

            assert named(client, pattern) == 0

    assert (given.version, given.user_data) == (1, b"")
    # What nobody claims goes to a member whose claim is lower, for NestJS names the lowest.
    assert given.assignment == [(reply_topic, [2])]
    assert follower.claims == []


@pytest.mark.parametrize("claim", [b"", b'{"previousAssignment":7}'])
def test_leading_client_survives_a_member_that_claims_nonsense(peers: Peers, claim):
    pattern = peers.topic(replies=2)
    reply_topic = f"{pattern}.reply"
    serve_partitions(peers, pattern)

    with (
        peers.client(pattern) as client,
        foreign_member(peers, client.group_id, reply_topic, claim) as follower,
    ):
        (given,) = eventually(lambda: follower.given[:1], PATIENCE)

        assert given.assignment == [(reply_topic, [1])]
        assert named(client, pattern) == 0


def test_client_survives_a_leader_that_gives_it_nothing_and_then_too_much(peers: Peers):
    pattern = peers.topic(replies=1)
    reply_topic = f"{pattern}.reply"
    serve_partitions(peers, pattern)
    client = peers.client(pattern)

    with foreign_member(peers, client.group_id, reply_topic) as leader:
        eventually(lambda: leader.given, PATIENCE)
        with client:
            with pytest.raises(NoReplyPartition):
                named(client, pattern)

            leader.lead_by(gives_ours({reply_topic: [0], "somewhere.else.reply": [0]}))

            eventually(lambda: named(client, pattern) == 0, PATIENCE, retry_on=NoReplyPartition)


def test_topic_that_a_foreign_leader_does_not_give_is_said(peers: Peers):
    pattern, added = peers.topic(replies=1), peers.topic(replies=1)
    serve_partitions(peers, pattern)
    client = peers.client(pattern)
    plan = gives_ours({f"{pattern}.reply": [0]})

    with foreign_member(peers, client.group_id, f"{pattern}.reply", plan=plan) as leader:
        eventually(lambda: leader.given, PATIENCE)
        with client:
            client.subscribe_to_response_of(added)

            with pytest.raises(NoReplyPartition, match="led by a NestJS client"):
                client.send(added, "where?", timeout=PATIENCE)
            assert named(client, pattern) == 0


def test_partitions_stay_when_the_broker_does_not_know_the_topics_for_a_moment(peers: Peers):
    pattern = peers.topic(partitions=2, replies=2)
    serve_partitions(peers, pattern)

    with peers.client(pattern) as client:
        assert named(client, pattern) == 0
        generation = client.run_on_consumer_thread(forget_topics)

        # A round trip later whatever this leads to has begun.
        client.run_on_consumer_thread(lambda consumer: consumer.partitions_for_topic(pattern))

        assert named(client, pattern) == 0
        assert client.run_on_consumer_thread(generation_of) == generation


def forget_topics(consumer):
    """Let the consumer have the metadata of a broker that has only just started."""
    cluster = consumer._client.cluster
    cluster._partitions = {}
    for listener in list(cluster._listeners):
        listener(cluster)
    return generation_of(consumer)


def generation_of(consumer):
    return consumer._coordinator._generation.generation_id
