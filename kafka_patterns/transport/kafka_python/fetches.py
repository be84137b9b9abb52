"""Asking the brokers for records, so that no partition waits for news of another one.

A broker answers the requests of one connection one after the other, and holds a fetch back until
one of its partitions has news. Of a partition that still has records here nothing is asked, and
once they are gone it must not wait for that: it is asked for on a second connection.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs
from kafka import TopicPartition as KafkaTopicPartition
from kafka.future import Future as KafkaFuture
from kafka.protocol.fetch import FetchRequest

from kafka_patterns.message import TopicPartition
from kafka_patterns.transport.kafka_python.network import InterruptibleClient

__all__ = ["Fetches"]

logger = logging.getLogger("kafka_patterns.transport")

_YOUNG_SECONDS = 0.003
"""A question that is not older may be answered soon; it is better to ask all together then."""
_SHORT_MS = 10
_SHARE_OF_AGE = 0.25
"""By so much longer than it lies here already may a partition wait for news of others."""

_Node = Any
"""The base's name of a connection: a broker's number, or a second name of it."""


@attrs.frozen(eq=False)
class _Question:
    """A fetch that is not answered yet.

    :param offsets: from where on each of its partitions is asked for.
    :param sent: monotonic seconds.
    """

    offsets: Mapping[KafkaTopicPartition, int]
    sent: float
    answer: KafkaFuture


class Fetches:
    """The fetch requests of one reader. Its thread's alone.

    :param fetcher: that of the base: has the settings, and takes the answers.
    :param subscription: that of the base: has the positions.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        client: InterruptibleClient,
        fetcher: Any,
        subscription: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._fetcher = fetcher
        self._config: Mapping[str, Any] = fetcher.config
        self._subscription = subscription
        self._questions: dict[_Node, _Question] = {}
        self._look_again = math.inf

    def ask(
        self,
        fetchable: Collection[KafkaTopicPartition],
        held_since: Mapping[TopicPartition, float],
    ) -> bool:
        """Ask for all of *fetchable* that is not asked for yet, as far as it can be now.

        :param held_since: of which partitions there are records here, since when.
        :returns: whether there is a request to write.
        """
        now = self._clock()
        self._look_again = math.inf
        self._questions = {
            node: question
            for node, question in self._questions.items()
            if not question.answer.is_done
        }
        asked = False
        for broker, partitions in self._by_leader(fetchable).items():
            offsets = self._unasked(broker, partitions)
            if offsets:
                asked |= self._ask(broker, offsets, held_since, now)
        return asked

    def seconds_until_next(self) -> float:
        """Until there is something to ask that :meth:`ask` has put off; infinite if nothing is."""
        return max(0.0, self._look_again - self._clock())

    def _by_leader(
        self, partitions: Collection[KafkaTopicPartition]
    ) -> dict[int, list[KafkaTopicPartition]]:
        found: dict[int, list[KafkaTopicPartition]] = defaultdict(list)
        cluster = self._client.cluster
        for partition in partitions:
            leader = cluster.leader_for_partition(partition)
            if leader is None or leader == -1:
                cluster.request_update()
            else:
                found[leader].append(partition)
        return found

    def _unasked(
        self, broker: int, partitions: Collection[KafkaTopicPartition]
    ) -> dict[KafkaTopicPartition, int]:
        """With the offset of each; what was asked from another one does not count."""
        questions = self._open_questions(broker)
        found = {}
        for partition in partitions:
            offset = self._subscription.assignment[partition].position
            if all(question.offsets.get(partition) != offset for question in questions):
                found[partition] = offset
        return found

    def _open_questions(self, broker: int) -> list[_Question]:
        nodes = (broker, _second(broker))
        return [self._questions[node] for node in nodes if node in self._questions]

    def _ask(
        self,
        broker: int,
        offsets: Mapping[KafkaTopicPartition, int],
        held_since: Mapping[TopicPartition, float],
        now: float,
    ) -> bool:
        questions = self._open_questions(broker)
        youngest = max((question.sent for question in questions), default=-math.inf)
        if now < youngest + _YOUNG_SECONDS:
            self._look_again = min(self._look_again, youngest + _YOUNG_SECONDS)
            return False
        node = self._free_node(broker)
        if node is None:
            return False
        wait_ms = self._config["fetch_max_wait_ms"]
        if questions:
            # No connection is left for those of which there are records here.
            wait_ms = min(wait_ms, self._short_wait_ms(broker, held_since, now))
        request = self._request(offsets, wait_ms)
        answer = self._client.send(node, request, wakeup=False)
        answer.add_callback(self._fetcher._handle_fetch_response, request, time.time())
        answer.add_errback(lambda error: logger.info("a fetch from %s failed: %s", node, error))
        self._questions[node] = _Question(offsets, now, answer)
        return True

    def _free_node(self, broker: int) -> _Node | None:
        """A connection to *broker* on which no fetch is under way, and that is ready."""
        node: _Node = broker
        if node in self._questions:
            node = _second(broker)
            if node in self._questions:
                return None
            # How the base knows a coordinator's second connection to its broker.
            broker_there = self._client.cluster.broker_metadata(broker)
            self._client.cluster._coordinator_brokers[node] = broker_there
        # The base would let fetches wait for questions about topics, which may stand behind one.
        return node if self._client.ready(node, metadata_priority=False) else None

    def _short_wait_ms(
        self, broker: int, held_since: Mapping[TopicPartition, float], now: float
    ) -> float:
        leader = self._client.cluster.leader_for_partition
        ages = [now - since for tp, since in held_since.items() if leader(tp) == broker]
        return max(_SHORT_MS, min(ages) * 1000 * _SHARE_OF_AGE) if ages else math.inf

    def _request(self, offsets: Mapping[KafkaTopicPartition, int], wait_ms: float) -> Any:
        partitions = list(offsets.items())
        random.shuffle(partitions)  # the first ones have the answer's bytes
        topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for partition, offset in partitions:
            size = self._config["max_partition_fetch_bytes"]
            topics[partition.topic].append((partition.partition, offset, size))
        api_version = self._config["api_version"]
        version = 4 if api_version >= (0, 11) else 3 if api_version >= (0, 10, 1) else 2
        arguments = [-1, int(wait_ms), self._config["fetch_min_bytes"]]
        if version > 2:
            arguments.append(self._config["fetch_max_bytes"])
        if version > 3:
            arguments.append(self._fetcher._isolation_level)
        return FetchRequest[version](*arguments, list(topics.items()))


def _second(broker: int) -> _Node:
    return f"second-{broker}"
