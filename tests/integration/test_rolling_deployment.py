"""A server that has a topic more joins the group of one that does not know the topic."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from kafka_patterns import KafkaContext
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_kafka  # the embedded broker takes no commit during a rebalance

EVENTS = 300


def test_deployment_that_adds_a_topic_repeats_nothing(peers: Peers, wire: Wire):
    # The leader learns of the new topic while it joins, and joins again at once: what the first
    # of the two assignments took from it, the second may give back.
    known, added = peers.topic(partitions=2), peers.topic(partitions=3)
    slowly = threading.Event()  # is never set
    seen: list[tuple[int, int]] = []

    def note(event: str, context: KafkaContext) -> None:
        seen.append((context.partition, context.message.offset))
        slowly.wait(0.02)

    old, new = peers.server(), peers.server()
    for server in (old, new):
        server.event_pattern(known)(note)
    new.event_pattern(added)(lambda event: None)

    with old:
        for number in range(EVENTS):
            wire.produce(known, b"x", partition=number % 2)
        with new:
            eventually(lambda: len(set(seen)) == EVENTS, 2 * PATIENCE)
            half = EVENTS // 2
            through = {0: half, 1: half}
            eventually(lambda: wire.committed(old.group_id, known) == through, PATIENCE)

    assert [event for event, times in Counter(seen).items() if times > 1] == []
    for partition in (0, 1):
        offsets = [offset for number, offset in seen if number == partition]
        assert offsets == sorted(offsets)
