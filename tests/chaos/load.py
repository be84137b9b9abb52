"""A steady load on one topic: each key has its partition, and a sequence of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from tests.chaos.history import NOWHERE, Produced, RecordId
from tests.reliability.journal import Position
from tests.reliability.load import Load

__all__ = ["KeyedLoad"]

_KEYS = 5
_FAILS_EVERY = 20
_LOOK_SECONDS = 0.1
_REFRESH: dict[str, Any] = {"topic.metadata.refresh.interval.ms": 1_000}
# A topic that is deleted breaks the sequence of an idempotent producer, which then refuses
# all that follows. This one gives up instead, and its order does not suffer.
_MAY_VANISH: dict[str, Any] = {
    **_REFRESH,
    "enable.idempotence": False,
    "max.in.flight.requests.per.connection": 1,
    "message.send.max.retries": 0,
    "message.timeout.ms": 10_000,
}


class KeyedLoad(Load):
    """Writes to a topic that may get more partitions; every twentieth record fails once.

    :param may_vanish: whether the topic is deleted now and then; what was not acknowledged is
        then nobody's, while it fails the run otherwise.
    """

    def __init__(
        self, brokers: Sequence[str], topic: str, partitions: int, *, may_vanish: bool = False
    ) -> None:
        super().__init__(brokers, topic, settings=_MAY_VANISH if may_vanish else _REFRESH)
        self.partitions = partitions
        self.written: list[Produced] = []
        self.poison: set[RecordId] = set()
        self._may_vanish = may_vanish
        self._turns = itertools.count()
        self._sequences: defaultdict[str, int] = defaultdict(int)
        # Guards the sequences: the load has a thread of its own, poison comes from others.
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing meanwhile; what was written before is with the broker, or given up."""
        with self._lock:
            self.flush()
            yield

    def add_poison(self, count: int) -> None:
        """Write records that no handler can read."""
        for _ in range(count):
            with self._lock:
                partition = next(self._turns) % self.partitions
                key = f"poison-{partition}"
                record = self._next(key)
                self.poison.add(record)
                self._send(record, partition, b"\xff%d" % record.sequence)

    def _write(
        self,
        key: str | None,
        payload: dict[str, Any],
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        with self._lock:
            turn = next(self._turns)
            partition = turn % self.partitions
            record = self._next(f"{partition}-{turn // self.partitions % _KEYS}")
            fails = turn % _FAILS_EVERY == 0
            value = json.dumps({"sequence": record.sequence, "fails": fails}).encode()
            self._send(record, partition, value)

    def _next(self, key: str) -> RecordId:
        sequence = self._sequences[key]
        self._sequences[key] += 1
        return RecordId(self.topic, key, sequence)

    def _send(self, record: RecordId, partition: int, value: bytes) -> None:
        note = partial(self._note, record, time.monotonic())
        while not self._stopping.is_set():
            try:
                self._producer.produce(
                    self.topic,
                    value=value,
                    key=record.key.encode(),
                    partition=partition,
                    on_delivery=note,
                )
            except KafkaException:
                # The partition is gone, or so new that the producer has not heard of it.
                if self._may_vanish:
                    break
                self._producer.poll(_LOOK_SECONDS)
            else:
                break
        self._producer.poll(0)

    def _note(
        self, record: RecordId, sent_at: float, error: KafkaError | None, message: Message
    ) -> None:
        if error is not None:
            if not self._may_vanish:
                self._failures.append(f"{record}: {error}")
            return
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        # Of a record that it sent twice the producer may not know where the first one lies.
        position = Position(self.topic, partition, NOWHERE if offset is None else offset)
        self.written.append(Produced(record, position, sent_at, time.monotonic()))
