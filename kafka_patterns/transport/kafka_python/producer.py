"""Sending without ever waiting in the caller.

kafka-python-ng's ``send`` waits for the metadata of an unknown topic and for buffer memory.
Here a message that cannot be buffered at once goes to a *waiting room*, in order, and a thread
of its own buffers it when the topic is known; everything else is buffered by the caller.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any

import attrs
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from kafka_patterns.errors import SendFailed
from kafka_patterns.message import EncodedMessage, RecordMetadata
from kafka_patterns.rights import WRITE, missing_right
from kafka_patterns.serialization.partitioner import partition_for_key
from kafka_patterns.transport.kafka_python.batches import BatchingProducer, BufferFull
from kafka_patterns.transport.kafka_python.errors import is_too_large, outcome_is_unknown
from kafka_patterns.transport.kafka_python.known_topics import Missing
from kafka_patterns.transport.kafka_python.refusals import Refusals
from kafka_patterns.transport.kafka_python.unfinished import Unfinished

__all__ = ["KafkaProducerFace"]

logger = logging.getLogger("kafka_patterns.transport")

_RETRY_SECONDS = 0.05
_THREAD_JOIN_SECONDS = 2.0
_CLOSED = "the producer is closed"


@attrs.frozen(eq=False)
class _Waiting:
    """A message whose topic is not known, or for which there is no buffer.

    :param since: when it came.
    :param missing_timeout: how long it waits for a topic that does not exist.
    """

    message: EncodedMessage
    future: Future[RecordMetadata]
    since: float
    deadline: float
    missing_timeout: float | None

    def waits_for(self, missing: Missing | None) -> bool:
        """Whether its topic may still come.

        All messages to a topic share their patience; each hears one answer of its own.
        """
        if missing is None or self.missing_timeout is None or missing.last <= self.since:
            return True
        return missing.last - missing.since < self.missing_timeout


class KafkaProducerFace:
    """A :class:`~kafka_patterns.transport.base.Producer` on ``KafkaProducer``.

    :param refusals: knows why brokers cannot be reached, for the errors.
    :param may_send: asked in the I/O thread before messages leave.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        refusals: Refusals,
        delivery_timeout: float,
        name: str,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._refusals = refusals
        self._producer = BatchingProducer(
            config, delivery_timeout=delivery_timeout, may_send=may_send
        )
        self._name = name
        self._turns: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        self._lock = threading.Lock()  # guards the two below
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._waiting_thread: threading.Thread | None = None
        self._forbidden: set[str] = set()  # topics; single operations on it are atomic
        self._unfinished = Unfinished()
        self._closed = False
        self._news = threading.Event()

    def send(
        self,
        topic: str,
        message: EncodedMessage,
        *,
        timeout: float,
        missing_timeout: float | None = None,
    ) -> Future[RecordMetadata]:
        future = self._unfinished.begin()
        if self._closed:
            future.set_exception(SendFailed(_CLOSED))
            return future
        if topic in self._waiting or not self._buffer(topic, message, future):
            now = time.monotonic()
            self._wait_in_room(
                topic, _Waiting(message, future, now, now + timeout, missing_timeout)
            )
        return future

    def _buffer(self, topic: str, message: EncodedMessage, future: Future[RecordMetadata]) -> bool:
        """Hand the message to the base; ``False`` if the caller would have to wait for that."""
        partitions = self._producer.topics.partitions(topic)
        if partitions is None:
            return False
        try:
            partition = self._choose(topic, message, partitions)
            base_future = self._producer.append(topic, partition, message)
        except BufferFull:
            return False
        except Exception as error:  # noqa: BLE001  whatever it is, the future is all that tells
            _fail(future, topic, error)
            return True

        batch = self._producer.batch_of(base_future)

        def succeeded(metadata: Any) -> None:
            self._producer.let_go(base_future)
            _end(future, RecordMetadata(topic, partition, metadata.offset, metadata.timestamp))

        def failed(error: BaseException) -> None:
            was_sent = self._producer.was_sent(batch)
            self._producer.let_go(base_future)
            self._producer.tell(
                lambda: _fail(future, topic, error, was_sent=was_sent, why=self.trouble())
            )

        base_future.add_callback(succeeded)
        base_future.add_errback(failed)
        if base_future.is_done:
            # The base can lose a callback that is added while it completes the future.
            if base_future.succeeded():
                succeeded(base_future.value)
            else:
                failed(base_future.exception)
        return True

    def _choose(self, topic: str, message: EncodedMessage, partitions: Mapping[int, Any]) -> int:
        count = len(partitions)
        if message.partition is not None:
            if message.partition in partitions:
                return message.partition
            if not message.partition_is_wish:
                raise SendFailed(
                    f"topic {topic!r} has no partition {message.partition} "
                    f"(it has {count}: 0 to {count - 1})"
                )
        if message.key is not None:
            return partition_for_key(message.key, count)
        turn = next(self._turns[topic])
        state = partitions.get(turn % count)
        if state is not None and (state.leader != -1 or count == 1):
            return turn % count
        available = [p for p, state in partitions.items() if state.leader != -1]
        choices = sorted(available or partitions)
        return choices[turn % len(choices)]

    def _wait_in_room(self, topic: str, waiting: _Waiting) -> None:
        with self._lock:
            closed = self._closed
            if not closed:
                if topic not in self._waiting:
                    self._forbidden.discard(topic)  # it may be allowed by now
                self._waiting.setdefault(topic, deque()).append(waiting)
            if not closed and self._waiting_thread is None:
                self._waiting_thread = threading.Thread(
                    target=self._serve_waiting_room, name=f"{self._name}-topics", daemon=True
                )
                self._waiting_thread.start()
        if closed:
            _fail(waiting.future, topic, SendFailed(_CLOSED))
            return
        self._ask_for(topic)
        self._news.set()

    def _ask_for(self, topic: str) -> None:
        def answered(forbidden: bool) -> None:  # noqa: FBT001
            if forbidden:
                self._forbidden.add(topic)
            self._news.set()

        self._producer.topics.ask(topic, answered)

    def _serve_waiting_room(self) -> None:
        """Thread: buffer what waits, in order per topic; ends when the room is empty."""
        while True:
            with self._lock:
                topics = list(self._waiting)
                if not topics:
                    self._waiting_thread = None
                    return
            for topic in topics:
                self._serve_topic(topic)
            self._news.wait(_RETRY_SECONDS)
            self._news.clear()

    def _serve_topic(self, topic: str) -> None:
        while True:
            with self._lock:
                queue = self._waiting[topic]
                if not queue:
                    del self._waiting[topic]
                    if self._producer.topics.missing(topic) is not None:
                        self._producer.topics.forget(topic)
                    return
                head = queue[0]
            if not head.future.done():
                if time.monotonic() >= head.deadline:
                    _fail(head.future, topic, self._why_waiting(topic))
                elif not self._buffer(topic, head.message, head.future):
                    error = self._hopeless(topic, head)
                    if error is None:
                        self._ask_for(topic)
                        return
                    _fail(head.future, topic, error)
            with self._lock:
                if queue and queue[0] is head:
                    queue.popleft()

    def _hopeless(self, topic: str, head: _Waiting) -> SendFailed | None:
        """Why *head* need not wait for its topic any longer, if it need not."""
        if topic in self._forbidden:
            return SendFailed(missing_right(WRITE, [topic], is_unknown=True), forbidden=True)
        if head.waits_for(self._producer.topics.missing(topic)):
            return None
        return SendFailed(
            f"topic {topic!r} does not exist, and the broker does not create it", topic_missing=True
        )

    def _why_waiting(self, topic: str) -> SendFailed:
        if self._producer.topics.partitions(topic) is None:
            reasons = self.trouble()
            return SendFailed(
                f"topic {topic!r} did not become known in time: "
                + (reasons or "it does not exist and the broker does not create it")
            )
        return SendFailed(f"the send buffer stayed full for topic {topic!r}", retriable=True)

    def partitions(self, topic: str) -> Collection[int] | None:
        states = self._producer.topics.partitions(topic)
        if states is None:
            self._ask_for(topic)
            return None
        return list(states)

    def has_leader(self, topic: str, partition: int | None) -> bool:
        states = self._producer.topics.partitions(topic)
        if states is None:
            self._ask_for(topic)
            return False
        state = None if partition is None else states.get(partition)
        return state is None or state.leader != -1

    def learn(self, topics: Collection[str]) -> None:
        self._producer.topics.learn(topics)

    def trouble(self) -> str:
        return self._refusals.reasons()

    def flush(self, timeout: float) -> bool:
        return self._unfinished.wait(timeout)

    def close(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if not self.flush(timeout):
            trouble = self.trouble()
            logger.warning(
                "%s: closing after %g s although no broker has acknowledged %d messages%s",
                self._name,
                timeout,
                len(self._unfinished),
                f" ({trouble})" if trouble else "",
            )
        with self._lock:
            self._closed = True
            left = [waiting for queue in self._waiting.values() for waiting in queue]
            for queue in self._waiting.values():
                queue.clear()
            thread = self._waiting_thread
        for waiting in left:
            _fail(waiting.future, "", SendFailed("the producer closed before it was sent"))
        self._news.set()
        if thread is not None:
            thread.join(_THREAD_JOIN_SECONDS)
        self._producer.close(timeout=max(0.0, deadline - time.monotonic()))
        self._producer.join(_THREAD_JOIN_SECONDS)

    def unwrap(self) -> BatchingProducer:
        return self._producer


def _end(future: Future[RecordMetadata], metadata: RecordMetadata) -> None:
    try:
        future.set_result(metadata)
    except InvalidStateError:
        pass  # cancelled by the user, or ended twice through the race above


def _fail(
    future: Future[RecordMetadata],
    topic: str,
    error: BaseException,
    *,
    was_sent: bool = False,
    why: str = "",
) -> None:
    if not isinstance(error, SendFailed):
        unknown = outcome_is_unknown(error, was_sent=was_sent)
        said = f"{type(error).__name__}: {error}" + (f" ({why})" if why else "")
        if isinstance(error, TopicAuthorizationFailedError):
            said = f"{type(error).__name__}: {missing_right(WRITE, [topic])}"
        failure = SendFailed(
            f"the broker did not take the message for topic {topic!r}: {said}",
            outcome_unknown=unknown,
            # A timeout says that the broker was away, not that it refuses the message.
            retriable=unknown
            or isinstance(error, KafkaTimeoutError)
            or bool(getattr(error, "retriable", False)),
            too_large=is_too_large(error),
            forbidden=isinstance(error, TopicAuthorizationFailedError),
        )
        failure.__cause__ = error
        error = failure
    try:
        future.set_exception(error)
    except InvalidStateError:
        pass  # cancelled by the user, or ended twice through the race above
