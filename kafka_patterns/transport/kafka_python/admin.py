"""Questions to the cluster, each with a bound, on one network client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.conn import collect_hosts
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.future import Future as KafkaFuture
from kafka.protocol.admin import ApiVersionRequest
from kafka.protocol.metadata import MetadataRequest

from kafka_patterns.errors import NotAuthorized, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.rights import DESCRIBE, missing_right
from kafka_patterns.transport.base import Interrupted, Unsupported
from kafka_patterns.transport.kafka_python.authorization import (
    forbidden_topics,
    is_forbidden,
    read_rights,
    rights_request,
)
from kafka_patterns.transport.kafka_python.coordinator import NoCoordinator
from kafka_patterns.transport.kafka_python.network import InterruptibleClient, await_future
from kafka_patterns.transport.kafka_python.refusals import Address, Refusals
from kafka_patterns.transport.kafka_python.topics import (
    add_partitions_request,
    check_answer,
    create_topic_request,
    is_offered,
)

__all__ = ["KafkaAdmin"]

_RETRY_SECONDS = 0.02
_PROBE_SECONDS = 0.1
_CHECK_SECONDS = 0.1
_SILENCE_SECONDS = 0.9
"""After so long without an answer another broker is asked as well."""
_PROBE_MS = 2_000
"""How long one broker may take to tell its version: at most half the time to connect."""
_NO_ERROR = 0


class KafkaAdmin:
    """An :class:`~kafka_patterns.transport.base.Admin`; connects at its first question.

    :param probed: told the brokers' version, if ``api_version`` left that to be found out.
    """

    def __init__(
        self, config: Mapping[str, Any], *, probed: Callable[[tuple[int, ...]], None]
    ) -> None:
        self._config = dict(config)
        self._probed = probed
        self._lock = threading.Lock()  # guards the consumer: one question at a time
        self._consumer: KafkaConsumer | None = None
        self._interrupted = False
        self._probe_ms = _PROBE_MS
        self._refusals = Refusals()

    @contextmanager
    def _question(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except Interrupted:
            raise TransportError("the connection was closed while the cluster was asked") from None

    def check_connection(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._probe_ms = min(self._probe_ms, int(timeout * 1000 / 2))
        with self._question():
            while not self._reached_advertised(min(deadline, time.monotonic() + _CHECK_SECONDS)):
                if time.monotonic() >= deadline or self._refusals.are_final(self._addresses()):
                    raise self._refusals.error(timeout, self._config["bootstrap_servers"])

    def _reached_advertised(self, deadline: float) -> bool:
        """Whether a broker takes requests at the address by which the brokers know it.

        A port that takes connections says little: only who accepts us tells those addresses.
        """
        while (node_id := self._ready_node(deadline)) is not None:
            if not self._client.cluster.is_bootstrap(node_id):
                return True
            self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)
        return False

    def _addresses(self) -> Collection[Address]:
        brokers = self._consumer._client.cluster.brokers() if self._consumer else ()
        return [(broker.host, broker.port) for broker in brokers] or [
            (host, port) for host, port, _ in collect_hosts(self._config["bootstrap_servers"])
        ]

    def partitions(self, topic: str, timeout: float) -> Collection[int] | None:
        answer = self._metadata([topic], timeout)
        error_code, _, _, partitions = answer.topics[0]
        if is_forbidden(error_code):
            raise NotAuthorized(missing_right(DESCRIBE, [topic]))
        return [p[1] for p in partitions] if error_code == _NO_ERROR else None

    def rights(
        self, topics: Collection[str], timeout: float
    ) -> Mapping[str, Collection[str] | None]:
        deadline = time.monotonic() + timeout
        with self._question():
            while (offer := self._first_answer(ApiVersionRequest[0](), deadline)) is not None:
                node_id, versions = offer
                if not is_offered(rights_request(topics), versions.api_versions):
                    return dict.fromkeys(topics)
                answer = self._answer(node_id, rights_request(topics), deadline)
                if answer is not None:
                    return read_rights(answer)
            self._hang_up()
        raise TransportError(f"no broker told about topics within {timeout:g} s")

    def topics(self, timeout: float) -> Mapping[str, Collection[int]]:
        answer = self._metadata(None, timeout)
        return {
            name: [p[1] for p in partitions]
            for error_code, name, is_internal, partitions in answer.topics
            if error_code == _NO_ERROR and not is_internal
        }

    def _metadata(self, topics: list[str] | None, timeout: float) -> Any:
        """The answer to a metadata request; ``None`` asks for all topics."""
        deadline = time.monotonic() + timeout
        with self._question():
            answered = self._first_answer(MetadataRequest[1](topics), deadline)
            if answered is None:
                self._hang_up()
        if answered is None:
            raise TransportError(f"no broker told about topics within {timeout:g} s")
        return answered[1]

    def create_topic(
        self, topic: str, partitions: int, replication_factor: int | None, timeout: float
    ) -> None:
        request = create_topic_request(topic, partitions, replication_factor, timeout)
        self._make(topic, request, timeout)

    def add_partitions(self, topic: str, partitions: int, timeout: float) -> None:
        self._make(topic, add_partitions_request(topic, partitions, timeout), timeout)

    def _make(self, topic: str, request: Any, timeout: float) -> None:
        """Ask the controller; without one, whoever is there, who passes it on."""
        deadline = time.monotonic() + timeout
        with self._question():
            while (node_id := self._controller(deadline)) is not None:
                answer = self._answer_if_offered(node_id, request, deadline)
                if answer is not None and check_answer(topic, answer):
                    return
                self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)
        raise TransportError(f"no broker made the topic {topic!r} within {timeout:g} s")

    def _controller(self, deadline: float) -> Any:
        """The controller's node, or another that takes requests; ``None`` after *deadline*."""
        answered = self._first_answer(MetadataRequest[1]([]), deadline)
        if answered is None:
            return None
        node_id, answer = answered
        controller = answer.controller_id
        while time.monotonic() < deadline:
            if self._client.cluster.broker_metadata(controller) is None:
                return node_id
            if self._client.ready(controller, metadata_priority=False):
                return controller
            self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)
        return None

    def _first_answer(self, request: Any, deadline: float) -> tuple[Any, Any] | None:
        """The first answer that any node gives, and that node; ``None`` if none does in time.

        Who is silent may be slow only: another is asked as well, and either answer will do.
        """
        asked: dict[Any, KafkaFuture] = {}
        patience = deadline
        while time.monotonic() < deadline:
            node_id = self._ready_node(patience)
            if node_id is not None and node_id not in asked:
                asked[node_id] = self._client.send(node_id, request)
                patience = time.monotonic() + _SILENCE_SECONDS
            self._await_any(asked.values(), min(deadline, patience))
            for node_id, future in list(asked.items()):
                if future.succeeded():
                    return node_id, future.value
                if future.is_done:
                    del asked[node_id]
            patience = min(deadline, time.monotonic() + _PROBE_SECONDS)
        return None

    def _await_any(self, futures: Collection[KafkaFuture], until: float) -> None:
        while not any(future.is_done for future in futures):
            remaining = until - time.monotonic()
            if remaining <= 0:
                return
            self._client.poll(timeout_ms=min(remaining, _PROBE_SECONDS) * 1000)

    def _answer(self, node_id: Any, request: Any, deadline: float) -> Any:
        """The answer, or ``None`` if it did not come."""
        future = self._client.send(node_id, request)
        self._await(future, deadline)
        return future.value if future.succeeded() else None

    def _await(self, future: KafkaFuture, deadline: float) -> bool:
        """Whether the answer came; if not, the next question goes out on a new connection."""
        began = time.monotonic()
        if await_future(self._client, future, deadline):
            return True
        if time.monotonic() - began > _SILENCE_SECONDS:
            self._hang_up()
        return False

    def _hang_up(self) -> None:
        """A connection may have died without a sign; more questions would wait on it in vain."""
        if self._consumer is not None:
            self._client.hang_up(KafkaConnectionError("a question was not answered in time"))

    def _answer_if_offered(self, node_id: Any, request: Any, deadline: float) -> Any:
        """As :meth:`_answer`; raises ``Unsupported`` if the broker does not take such requests."""
        versions = self._answer(node_id, ApiVersionRequest[0](), deadline)
        if versions is None:
            return None
        if not is_offered(request, versions.api_versions):
            raise Unsupported(type(request).__name__)
        return self._answer(node_id, request, deadline)

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        deadline = time.monotonic() + timeout
        waiting = {KafkaTopicPartition(*tp): timestamp for tp, timestamp in timestamps.items()}
        found: dict[TopicPartition, int] = {}
        with self._question():
            if self._ready_node(deadline) is None:
                return found
            self._client.set_topics({tp.topic for tp in waiting})
            while waiting and time.monotonic() < deadline:
                for tp, offset in self._ask_offsets(waiting, deadline).items():
                    del waiting[tp]
                    if offset is not None:
                        found[TopicPartition(*tp)] = offset
                if waiting:
                    self._client.poll(timeout_ms=_RETRY_SECONDS * 1000)
        return found

    def _ask_offsets(
        self, waiting: Mapping[KafkaTopicPartition, int], deadline: float
    ) -> dict[KafkaTopicPartition, int | None]:
        """One round; each partition is asked for alone, so that a dead leader holds up none."""
        futures = {}
        for tp, timestamp in waiting.items():
            futures[tp] = self._consumer_now()._fetcher._send_offset_requests({tp: timestamp})
        found: dict[KafkaTopicPartition, int | None] = {}
        for tp, future in futures.items():
            if self._await(future, deadline) and future.succeeded():
                offset = future.value.get(tp)
                found[tp] = None if offset is None else offset[0]
            elif forbidden_topics(future.exception):
                found[tp] = None
            elif future.is_done:
                self._client.cluster.request_update()
        return found

    def _ready_node(self, deadline: float) -> Any:
        """A node that takes requests, or ``None`` once *deadline* passed."""
        while True:
            try:
                client = self._client
            except KafkaError:
                client = None  # the probe of the broker's version found nobody yet
            if client is not None:
                node_id = client.least_loaded_node()
                if node_id is not None and client.ready(node_id, metadata_priority=False):
                    return node_id
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            if client is not None:
                client.poll(timeout_ms=min(remaining, _RETRY_SECONDS) * 1000)
            else:
                time.sleep(min(remaining, _PROBE_SECONDS))

    @property
    def _client(self) -> InterruptibleClient:
        client: InterruptibleClient = self._consumer_now()._client
        return client

    def _consumer_now(self) -> KafkaConsumer:
        if self._interrupted:
            raise Interrupted
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                **{"api_version_auto_timeout_ms": self._probe_ms, **self._config},
                group_id=None,
                enable_auto_commit=False,
                kafka_client=partial(InterruptibleClient, refusals=self._refusals),
                coordinator=NoCoordinator,
            )
            if self._config["api_version"] is None:
                self._probed(tuple(self._consumer.config["api_version"]))
        return self._consumer

    def interrupt(self) -> None:
        self._interrupted = True
        consumer = self._consumer
        if consumer is not None:
            consumer._client.interrupt()

    def close(self) -> None:
        self.interrupt()
        with self._lock:
            if self._consumer is not None:
                self._consumer.close(autocommit=False)
                self._consumer = None
