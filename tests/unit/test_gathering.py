"""Which records are answers of their own when several services reply to one request."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_patterns.client.gathering import Gathered, gather_replies
from kafka_patterns.client.pending import GatherSlot
from kafka_patterns.client.reading import ReplyReader
from kafka_patterns.client.reply import Reply
from kafka_patterns.errors import ReplyPayloadError, RpcException, SendFailed
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.serialization.registry import Serialization

REPLIES = TopicPartition("hero.reply", 0)


def reply(value: bytes | None, *, last: bool = True, error: Any = None) -> Reply:
    return Reply(Record(*REPLIES, 0, 0, None, value, [("h", b"1")]), error=error, last=last)


END = reply(None)


def reader(returns: Any = None) -> ReplyReader:
    return ReplyReader(Serialization(None, None), "hero", returns)


def gather(*replies: Reply, expected: int, returns: Any = None) -> Gathered:
    slot = GatherSlot(REPLIES)
    for one in replies:
        assert slot.deliver(one) is False
    return gather_replies(slot, reader(returns), 0.0, lambda so_far: len(so_far) == expected)


def test_all_that_were_asked_for_are_complete() -> None:
    gathered = gather(reply(b"1"), reply(b"2"), reply(b"3"), expected=2)

    assert gathered.values == ["1", "2"]
    assert gathered.complete
    assert not gathered.timed_out
    assert gathered.replies[0].headers == [("h", b"1")]


def test_too_few_are_a_partial_result() -> None:
    gathered = gather(reply(b"1"), expected=2)

    assert gathered.values == ["1"]
    assert gathered.timed_out


def test_errors_are_replies() -> None:
    gathered = gather(
        reply(b"five"), reply(None, error="boom"), reply(b"5"), expected=3, returns=int
    )

    assert gathered.complete
    assert gathered.values == [5]
    unreadable, remote = gathered.errors
    assert isinstance(unreadable, ReplyPayloadError)
    assert isinstance(remote, RpcException)
    assert remote.error == "boom"


def test_end_that_follows_a_value_is_no_reply_of_its_own() -> None:
    gathered = gather(reply(b"1", last=False), reply(b"2"), END, END, expected=3)

    assert gathered.values == ["1", "2", None]


def test_null_is_a_reply() -> None:
    assert gather(END, END, expected=2).values == [None, None]


def test_failed_request_is_raised() -> None:
    slot = GatherSlot(REPLIES)
    slot.deliver(reply(b"1"))
    slot.fail(SendFailed("not taken"))

    with pytest.raises(SendFailed):
        gather_replies(
            slot, ReplyReader(Serialization(None, None), "hero", None), 0.0, lambda so_far: False
        )
