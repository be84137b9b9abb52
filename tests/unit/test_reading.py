"""What a caller gets from replies: a value, a future, an iterator."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from typing import Any

import pytest

from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.pending import FutureSlot, StreamSlot
from kafka_patterns.client.reading import ReplyFuture, ReplyReader, ReplyStream
from kafka_patterns.client.reply import Reply
from kafka_patterns.errors import (
    ClientClosed,
    ReplyPayloadError,
    RequestTimeout,
    RpcException,
)
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.serialization.registry import Serialization

REPLIES = TopicPartition("hero.reply", 0)


def reader(returns: Any = None) -> ReplyReader:
    return ReplyReader(Serialization(None, None), "hero", returns)


def reply(value: bytes | None, *, last: bool = False, error: Any = None) -> Reply:
    return Reply(Record(*REPLIES, 0, 0, None, value, []), error=error, last=last)


END = reply(None, last=True)


class TestReader:
    def test_value_is_parsed(self) -> None:
        assert reader().read(reply(b'{"a":1}')) == {"a": 1}

    def test_value_is_structured_as_asked(self) -> None:
        assert reader(list[int]).read(reply(b"[1,2]")) == [1, 2]

    def test_value_that_does_not_fit_names_the_topic(self) -> None:
        with pytest.raises(ReplyPayloadError, match="reply to 'hero' does not fit"):
            reader(int).read(reply(b"five"))

    @pytest.mark.parametrize("error", ["raw", {"status": "error", "message": "boom"}, {}, [1]])
    def test_error_is_raised_as_it_came(self, error: Any) -> None:
        with pytest.raises(RpcException) as caught:
            reader(int).read(reply(None, last=True, error=error))

        assert caught.value.error == error


class Streaming:
    """A stream whose replies the test hands in."""

    def __init__(
        self, *, returns: Any = None, item_timeout: float = 30, total: float | None = None
    ) -> None:
        self.slot = StreamSlot(REPLIES)
        self.forgotten = 0
        self.stream = ReplyStream(
            self.slot,
            reader(returns),
            "hero",
            self._forget,
            item_timeout=item_timeout,
            deadline=None if total is None else time.monotonic() + total,
        )

    def _forget(self, outcome: Outcome) -> None:
        self.forgotten += 1


def streamed(*replies: Reply, returns: Any = None) -> list[Any]:
    streaming = Streaming(returns=returns)
    for one in replies:
        streaming.slot.deliver(one)
    return list(streaming.stream)


class TestStream:
    def test_value_marked_as_last_ends_the_stream(self) -> None:
        assert streamed(reply(b"1"), reply(b"2", last=True)) == ["1", "2"]

    def test_trailing_null_after_values_is_only_the_end(self) -> None:
        assert streamed(reply(b"1"), reply(b"2"), END) == ["1", "2"]

    def test_null_alone_is_a_value(self) -> None:
        assert streamed(END) == [None]

    def test_null_before_the_end_is_a_value(self) -> None:
        assert streamed(reply(b"1"), reply(None), END) == ["1", None]

    def test_empty_text_as_the_last_is_a_value(self) -> None:
        assert streamed(reply(b"1"), reply(b"", last=True)) == ["1", ""]

    def test_error_comes_after_the_values_before_it(self) -> None:
        streaming = Streaming()
        streaming.slot.deliver(reply(b"1"))
        streaming.slot.deliver(reply(None, last=True, error="boom"))

        assert next(streaming.stream) == "1"
        with pytest.raises(RpcException, match="boom"):
            next(streaming.stream)
        assert list(streaming.stream) == []

    def test_items_are_structured_as_asked(self) -> None:
        assert streamed(reply(b"[1]"), reply(b"[2]", last=True), returns=list[int]) == [[1], [2]]

    def test_item_that_does_not_fit_ends_the_stream(self) -> None:
        streaming = Streaming(returns=int)
        streaming.slot.deliver(reply(b"one"))
        streaming.slot.deliver(reply(b"2"))

        with pytest.raises(ReplyPayloadError):
            next(streaming.stream)

        assert list(streaming.stream) == []
        assert streaming.forgotten

    def test_item_is_handed_over_as_soon_as_it_comes(self) -> None:
        streaming = Streaming()
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(next, streaming.stream)
            streaming.slot.deliver(reply(b"1"))

            assert waiting.result(20) == "1"

    def test_silence_is_a_timeout(self) -> None:
        streaming = Streaming(item_timeout=0.01)

        with pytest.raises(RequestTimeout, match="no reply to 'hero' came in time"):
            next(streaming.stream)

        assert streaming.forgotten
        assert list(streaming.stream) == []

    def test_silence_after_an_item_is_told_apart(self) -> None:
        streaming = Streaming(item_timeout=0.01)
        streaming.slot.deliver(reply(b"1"))
        next(streaming.stream)

        with pytest.raises(RequestTimeout, match="no further reply to 'hero'"):
            next(streaming.stream)

    def test_total_timeout_ends_a_stream_that_never_ends(self) -> None:
        streaming = Streaming(item_timeout=30, total=0.05)
        stopped = threading.Event()

        def feed() -> None:
            while not stopped.wait(0.001):
                streaming.slot.deliver(reply(b"x"))

        with ThreadPoolExecutor(1) as thread:
            thread.submit(feed)
            try:
                with pytest.raises(RequestTimeout):
                    list(streaming.stream)
            finally:
                stopped.set()

    def test_end_of_the_client_ends_the_stream(self) -> None:
        streaming = Streaming()
        streaming.slot.deliver(reply(b"1"))
        streaming.slot.fail(ClientClosed("closed"))

        assert next(streaming.stream) == "1"
        with pytest.raises(ClientClosed):
            next(streaming.stream)

    def test_waiting_reader_learns_of_the_end_of_the_client(self) -> None:
        streaming = Streaming(item_timeout=30)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(next, streaming.stream)
            streaming.slot.fail(ClientClosed("closed"))

            assert isinstance(waiting.exception(20), ClientClosed)

    def test_early_close_frees_the_place(self) -> None:
        with Streaming().stream as stream:
            pass

        assert list(stream) == []

    def test_leaving_the_block_frees_the_place(self) -> None:
        streaming = Streaming()
        streaming.slot.deliver(reply(b"1"))

        with streaming.stream as stream:
            assert next(stream) == "1"
            assert not streaming.forgotten

        assert streaming.forgotten

    def test_forgotten_stream_frees_the_place(self) -> None:
        forgotten: list[Outcome] = []
        stream = ReplyStream(
            StreamSlot(REPLIES),
            reader(),
            "hero",
            forgotten.append,
            item_timeout=1,
            deadline=None,
        )

        del stream
        gc.collect()

        assert forgotten == [Outcome.CANCELLED]


class Callbacks:
    """Stands for the client's callback thread: runs what was submitted when told."""

    def __init__(self) -> None:
        self.queue: list[Callable[[], object]] = []

    def submit(self, function: Callable[[], object]) -> None:
        self.queue.append(function)

    def run(self) -> None:
        while self.queue:
            self.queue.pop(0)()


class TestFuture:
    def make(self, returns: Any = None) -> tuple[ReplyFuture, FutureSlot, Callbacks]:
        callbacks = Callbacks()
        future = ReplyFuture(reader(returns), callbacks.submit)
        return future, FutureSlot(REPLIES, future), callbacks

    def test_result_is_read_as_asked(self) -> None:
        future, slot, _ = self.make(list[int])

        slot.deliver(reply(b"[1]", last=True))

        assert future.result(0) == [1]
        assert future.exception(0) is None

    def test_remote_error_is_raised_and_told(self) -> None:
        future, slot, _ = self.make()

        slot.deliver(reply(None, last=True, error="boom"))

        with pytest.raises(RpcException, match="boom"):
            future.result(0)
        assert isinstance(future.exception(0), RpcException)

    def test_reply_that_does_not_fit_is_raised_and_told(self) -> None:
        future, slot, _ = self.make(int)

        slot.deliver(reply(b"x", last=True))

        with pytest.raises(ReplyPayloadError):
            future.result(0)
        assert isinstance(future.exception(0), ReplyPayloadError)

    def test_failure_of_the_request_is_raised_and_told(self) -> None:
        future, slot, _ = self.make()

        slot.fail(RequestTimeout("late"))

        with pytest.raises(RequestTimeout):
            future.result(0)
        assert isinstance(future.exception(0), RequestTimeout)

    def test_waiting_too_short_is_a_timeout(self) -> None:
        future, _, _ = self.make()

        with pytest.raises(TimeoutError):
            future.result(0.001)

    def test_callbacks_run_where_the_client_wants_them(self) -> None:
        future, slot, callbacks = self.make()
        seen: list[Any] = []
        future.add_done_callback(lambda done: seen.append(done.result(0)))

        slot.deliver(reply(b"1", last=True))
        assert seen == []

        callbacks.run()
        assert seen == ["1"]

    def test_callback_added_late_is_called_too(self) -> None:
        future, slot, callbacks = self.make()
        slot.deliver(reply(b"1", last=True))
        seen: list[Future[Any]] = []

        future.add_done_callback(seen.append)
        callbacks.run()

        assert seen == [future]

    def test_cancelled_future_is_cancelled_for_everybody(self) -> None:
        future, slot, _ = self.make()

        assert future.cancel()
        assert future.cancel()
        slot.deliver(reply(b"1", last=True))

        assert future.cancelled()
        with pytest.raises(CancelledError):
            future.result(0)
        assert wait_for_futures([future], 0.01).done == {future}

    def test_done_future_cannot_be_cancelled(self) -> None:
        future, slot, _ = self.make()
        slot.deliver(reply(b"1", last=True))

        assert not future.cancel()
