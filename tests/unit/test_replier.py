"""Waiting until the replies of a server are done with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import SendFailed
from kafka_patterns.message import EncodedMessage, RecordMetadata
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server import replier as replier_module
from kafka_patterns.server.replier import Replier
from kafka_patterns.server.reply_address import ReplyAddress

ADDRESS = ReplyAddress("hero.reply", None, b"1")
MESSAGE = EncodedMessage(value=b"x", key=None, headers=[])


class FailsAtFirst:
    """A producer for which the broker is away the first *failures* times."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self.sent = 0

    def has_leader(self, topic: str, partition: int | None) -> bool:
        return True

    def send(self, topic: str, message: EncodedMessage, **_: Any) -> Future[RecordMetadata]:
        future: Future[RecordMetadata] = Future()
        self.sent += 1
        if self.sent <= self._failures:
            future.set_exception(SendFailed("away", retriable=True))
        else:
            future.set_result(RecordMetadata(topic, 0, self.sent, 0))
        return future

    def flush(self, timeout: float) -> bool:
        return True


@pytest.fixture
def timers() -> Iterator[Timers]:
    made = Timers("timers")
    yield made
    made.close(5)


def make_replier(producer: Any, timers: Timers) -> Replier:
    return Replier(
        producer,
        Serialization(None, None),
        timers,
        allow=lambda topic: True,
        is_own=lambda topic: False,
        send_timeout=1,
        counters=Counters(),
    )


def test_flush_waits_for_a_reply_that_is_sent_again(
    timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replier_module, "_RESEND_SECONDS", 0.1)
    settled: list[bool] = []
    replier = make_replier(FailsAtFirst(3), timers)
    replier.send(MESSAGE, ADDRESS, settled.append, lambda: True, lambda: None)
    assert not settled

    assert replier.flush(30)

    assert settled == [True]


def test_flush_does_not_wait_longer_than_it_may(timers: Timers) -> None:
    settled: list[bool] = []
    replier = make_replier(FailsAtFirst(10**6), timers)
    replier.send(MESSAGE, ADDRESS, settled.append, lambda: True, lambda: None)

    assert not replier.flush(0.05)

    assert not settled


def test_flush_does_not_wait_for_a_reply_that_nobody_wants(timers: Timers) -> None:
    settled: list[bool] = []
    replier = make_replier(FailsAtFirst(1), timers)
    replier.send(MESSAGE, ADDRESS, settled.append, lambda: False, lambda: None)

    assert replier.flush(0.05)

    assert settled == [False]
