"""What a fetched reply means, by NestJS's rules, and to whom it goes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from kafka_patterns import headers
from kafka_patterns.client.correlation_ids import CorrelationIds, Origin
from kafka_patterns.client.pending import FutureSlot, PendingRequests, ReplySlot, StreamSlot
from kafka_patterns.client.replies import ReplyRouter, read_reply
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.message import HeaderPairs, Record, TopicPartition

REPLIES = TopicPartition("t.reply", 0)
DISPOSED = (headers.IS_DISPOSED, b"\x00")


def record(value: bytes | None = None, *pairs: tuple[str, bytes | None]) -> Record:
    return Record(*REPLIES, 0, 0, None, value, list(pairs))


class TestReadReply:
    def test_value_without_disposed_is_followed_by_more(self) -> None:
        reply = read_reply(record(b"1"))

        assert (reply.error, reply.last, reply.record.value) == (None, False, b"1")
        assert not reply.is_bare_end

    @pytest.mark.parametrize("value", [b"\x00", b"", b"false", None])
    def test_presence_of_disposed_makes_a_value_the_last(self, value: bytes | None) -> None:
        reply = read_reply(record(b"1", (headers.IS_DISPOSED, value)))

        assert (reply.error, reply.last, reply.record.value) == (None, True, b"1")
        assert not reply.is_bare_end

    def test_null_with_disposed_is_a_bare_end(self) -> None:
        reply = read_reply(record(None, DISPOSED))

        assert reply.last
        assert reply.is_bare_end

    def test_null_without_disposed_is_a_value(self) -> None:
        assert not read_reply(record(None)).is_bare_end

    def test_empty_value_with_disposed_is_a_value(self) -> None:
        assert not read_reply(record(b"", DISPOSED)).is_bare_end

    @pytest.mark.parametrize(
        ("header", "error"),
        [
            (b"raw", "raw"),
            (b"There is no matching message handler", "There is no matching message handler"),
            (b'{"status":"error","message":"boom"}', {"status": "error", "message": "boom"}),
            (b"[1,2]", [1, 2]),
            (b"{}", {}),
            (b"[]", []),
            (b"0", "0"),
            (b"false", "false"),
            (b"\x00abc", b"\x00abc"),
        ],
    )
    @pytest.mark.parametrize("disposed", [(), (DISPOSED,)], ids=["", "disposed"])
    @pytest.mark.parametrize("value", [None, b"ignored"])
    def test_error_header_ends_the_request_with_the_error(
        self, header, error, disposed: HeaderPairs, value
    ) -> None:
        reply = read_reply(record(value, (headers.ERROR, header), *disposed))

        assert reply.error == error
        assert reply.last
        assert reply.record.value is None
        assert not reply.is_bare_end

    @pytest.mark.parametrize("header", [b"", None])
    def test_empty_error_header_ends_without_error_and_without_value(
        self, header: bytes | None
    ) -> None:
        reply = read_reply(record(b"ignored", (headers.ERROR, header)))

        assert reply.error is None
        assert reply.last
        assert reply.record.value is None

    @pytest.mark.parametrize(
        ("raw", "sequence"),
        [(b"0", 0), (b"12", 12), (b"", None), (b"-1", None), (b"x", None), (b"1" * 400, None)],
    )
    def test_number_of_an_item_is_decimal_text(self, raw: bytes, sequence: int | None) -> None:
        assert read_reply(record(b"1", (headers.SEQUENCE, raw))).sequence == sequence


class TestRouter:
    def test_replies_are_never_held_back(self) -> None:
        router, _ = self.make()

        room = router.room(REPLIES, None)

        assert room.records >= 10**6
        assert room.bytes >= 10**8

    def make(
        self, ids: CorrelationIds | None = None, strayed: Callable[[str, Origin], object] = print
    ) -> tuple[ReplyRouter, PendingRequests]:
        pending = PendingRequests(100, lambda _: None)
        return ReplyRouter(pending, ids or CorrelationIds(), Counters(), strayed), pending

    def test_each_reply_reaches_its_own_request(self) -> None:
        router, pending = self.make()
        slots = {b"%d" % number: ReplySlot(REPLIES) for number in range(3)}
        for correlation_id, slot in slots.items():
            pending.add(correlation_id, slot)

        router.deliver(
            REPLIES,
            None,
            [record(b"for " + id_, (headers.CORRELATION_ID, id_), DISPOSED) for id_ in slots],
        )

        for correlation_id, slot in slots.items():
            assert slot.reply is not None
            assert slot.reply.record.value == b"for " + correlation_id
        assert len(pending) == 0
        assert router.counters.snapshot() == {"replies_delivered": 3}

    def test_binary_correlation_id_is_compared_byte_for_byte(self) -> None:
        router, pending = self.make()
        slot = ReplySlot(REPLIES)
        pending.add(b"\x00\xff\xfe", slot)

        router.deliver(REPLIES, None, [record(b"1", (headers.CORRELATION_ID, b"\x00\xff\xfe"))])

        assert slot.reply is not None

    @pytest.mark.parametrize(
        ("pairs", "counted"),
        [
            ([], "unknown"),
            ([(headers.CORRELATION_ID, None)], "unknown"),
            ([(headers.CORRELATION_ID, b"")], "unknown"),
            ([(headers.CORRELATION_ID, b"0" * 21), DISPOSED], "of_others"),
        ],
    )
    def test_reply_that_nobody_waits_for_is_counted_and_dropped(self, pairs, counted) -> None:
        strayed: list[tuple[str, Origin]] = []
        router, pending = self.make(strayed=lambda *told: strayed.append(told))
        slot = ReplySlot(REPLIES)
        pending.add(b"mine", slot)

        router.deliver(REPLIES, None, [record(b"1", *pairs)])

        assert strayed == [(REPLIES.topic, counted)]
        assert slot.reply is None

    def test_second_reply_is_late(self) -> None:
        ids = CorrelationIds()
        strayed: list[tuple[str, Origin]] = []
        router, pending = self.make(ids, lambda *told: strayed.append(told))
        ours = ids.new()
        pending.add(ours, ReplySlot(REPLIES))
        answer = record(b"1", (headers.CORRELATION_ID, ours), DISPOSED)

        router.deliver(REPLIES, None, [answer, answer])

        assert router.counters.snapshot() == {"replies_delivered": 1}
        assert strayed == [(REPLIES.topic, "late")]

    def test_stream_stays_until_its_last_reply(self) -> None:
        router, pending = self.make()
        slot = StreamSlot(REPLIES)
        pending.add(b"id", slot)

        router.deliver(REPLIES, None, [record(b"1", (headers.CORRELATION_ID, b"id"))] * 2)
        assert len(pending) == 1
        router.deliver(REPLIES, None, [record(b"3", (headers.CORRELATION_ID, b"id"), DISPOSED)])

        assert len(pending) == 0
        assert [reply.record.value for reply in slot.unread] == [b"1", b"1", b"3"]

    def test_repeated_item_of_a_stream_is_counted_and_dropped(self) -> None:
        router, pending = self.make()
        slot = StreamSlot(REPLIES)
        pending.add(b"id", slot)
        first = record(b"1", (headers.CORRELATION_ID, b"id"), (headers.SEQUENCE, b"0"))

        router.deliver(REPLIES, None, [first, first])

        assert router.counters.snapshot() == {"replies_delivered": 1, "replies_repeated": 1}
        assert len(slot.unread) == 1

    def test_reply_that_cannot_be_routed_does_not_stop_the_others(self, caplog) -> None:
        class BrokenSlot(ReplySlot):
            def deliver(self, reply: object) -> bool:
                raise RuntimeError("broken")

        router, pending = self.make()
        good = ReplySlot(REPLIES)
        pending.add(b"bad", BrokenSlot(REPLIES))
        pending.add(b"good", good)

        router.deliver(
            REPLIES,
            None,
            [record(b"1", (headers.CORRELATION_ID, id_), DISPOSED) for id_ in (b"bad", b"good")],
        )

        assert good.reply is not None
        assert router.counters.snapshot() == {"replies_unreadable": 1, "replies_delivered": 1}
        assert "could not be read" in caplog.text

    def test_error_header_nested_too_deep_reaches_the_caller_as_text(self) -> None:
        router, pending = self.make()
        slot = ReplySlot(REPLIES)
        pending.add(b"id", slot)
        deep = b"[" * 100_000 + b"]" * 100_000

        router.deliver(
            REPLIES, None, [record(None, (headers.CORRELATION_ID, b"id"), (headers.ERROR, deep))]
        )

        assert slot.event.is_set()

    def test_cancelled_future_takes_its_reply_in_silence(self) -> None:
        router, pending = self.make()
        future: Future[object] = Future()
        pending.add(b"id", FutureSlot(REPLIES, future))
        future.cancel()

        router.deliver(REPLIES, None, [record(b"1", (headers.CORRELATION_ID, b"id"), DISPOSED)])

        assert router.counters.snapshot() == {"replies_delivered": 1}
