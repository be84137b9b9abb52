"""A server that answers as none should, with nothing of the library under test."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import attrs
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from typing_extensions import Self

__all__ = ["GARBAGE_ANSWER", "LATE", "Liar"]

LATE = "late"
GARBAGE_ANSWER = "a garbage answer"

_LATE_BY_SECONDS = 0.5
_POLL_SECONDS = 0.05
_FLUSH_SECONDS = 20.0

Headers = list[tuple[str, str | bytes | None]]


@attrs.frozen
class _Question:
    """A request, and the answer it should get."""

    correlation_id: bytes
    reply_topic: str
    partition: int
    value: bytes

    @classmethod
    def of(cls, record: Message) -> _Question:
        headers: dict[str, Any] = dict(record.headers() or ())
        partition = int(headers["kafka_replyPartition"])
        asked = json.loads(record.value() or b"")
        return cls(
            headers["kafka_correlationId"],
            headers["kafka_replyTopic"].decode(),
            partition,
            json.dumps({"id": asked["id"], "partition": partition}).encode(),
        )


class Liar:
    """Answers the questions in *topic*, each in the next of its ways.

    :param timeout: of the callers; what is late comes so many seconds later.
    """

    def __init__(self, brokers: Sequence[str], topic: str, *, timeout: float) -> None:
        self.answered: Counter[str] = Counter()
        self._topic = topic
        self._late_seconds = timeout + _LATE_BY_SECONDS
        self._late: deque[tuple[float, _Question]] = deque()
        settings = {"bootstrap.servers": ",".join(brokers), "log_level": 2}
        self._producer = Producer({**settings, "linger.ms": 0})
        self._consumer = Consumer({**settings, "group.id": topic, "enable.auto.commit": False})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="liar")
        self._ways: dict[str, Callable[[_Question], None]] = {
            "honest": self._answer,
            "twice": self._answer_twice,
            "with wrong ids": self._answer_after_wrong_ids,
            "after garbage": self._answer_after_garbage,
            GARBAGE_ANSWER: self._answer_garbage,
            LATE: self._answer_late,
        }

    def __enter__(self) -> Self:
        known = self._consumer.list_topics(self._topic, timeout=_FLUSH_SECONDS)
        partitions = known.topics[self._topic].partitions
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in partitions])
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        self._producer.flush(_FLUSH_SECONDS)

    def _run(self) -> None:
        ways = itertools.cycle(self._ways.items())
        while not self._stopping.is_set():
            record = self._consumer.poll(_POLL_SECONDS)
            while self._late and self._late[0][0] <= time.monotonic():
                self._answer(self._late.popleft()[1])
            if record is not None and record.error() is None:
                name, answer = next(ways)
                self.answered[name] += 1
                answer(_Question.of(record))
            self._producer.poll(0)

    def _answer(self, question: _Question) -> None:
        self._reply(question, question.value, question.correlation_id)

    def _answer_twice(self, question: _Question) -> None:
        self._answer(question)
        self._answer(question)

    def _answer_late(self, question: _Question) -> None:
        self._late.append((time.monotonic() + self._late_seconds, question))

    def _answer_after_wrong_ids(self, question: _Question) -> None:
        right = question.correlation_id
        for wrong in (
            right[::-1],
            right[:-1],
            right + b" ",
            right.upper() + b"X",
            b"",
            b"\x00\xff",
        ):
            self._reply(question, b'{"id": "not yours", "partition": 0}', wrong)
        self._answer(question)

    def _answer_after_garbage(self, question: _Question) -> None:
        garbage: list[tuple[bytes | None, Headers]] = [
            (None, []),
            (b"\x00\xff\xfe", []),
            (b"{" * 100_000, [("kafka_correlationId", None)]),
            (b'{"id":', [("kafka_nest-err", b"\xff{")]),
            (b"x" * 500_000, [("kafka_correlationId", b"\xff" * 1_000)]),
            (b"[1]", [("kafka_nest-is-disposed", b"\x00"), ("", b"")]),
        ]
        for value, headers in garbage:
            self._producer.produce(
                question.reply_topic, value, partition=question.partition, headers=headers
            )
        self._answer(question)

    def _answer_garbage(self, question: _Question) -> None:
        values = (b"\xff\xfe{", b'{"id": 1}', b"[" * 50_000, b'{"id": "x", "partition": 1e400}')
        value = values[self.answered[GARBAGE_ANSWER] % len(values)]
        self._reply(question, value, question.correlation_id)

    def _reply(self, question: _Question, value: bytes, correlation_id: bytes) -> None:
        self._producer.produce(
            question.reply_topic,
            value,
            partition=question.partition,
            headers=[("kafka_correlationId", correlation_id), ("kafka_nest-is-disposed", b"true")],
        )
