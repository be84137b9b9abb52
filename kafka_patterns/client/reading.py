"""What a caller gets from the replies: a value, a future, an iterator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from kafka_patterns.client.counts import Outcome
from kafka_patterns.client.futures import CallbackFuture
from kafka_patterns.client.pending import StreamSlot
from kafka_patterns.client.reply import Reply
from kafka_patterns.errors import PayloadError, ReplyPayloadError, RequestTimeout, RpcException
from kafka_patterns.serialization.registry import Serialization

__all__ = ["ReplyFuture", "ReplyReader", "ReplyStream", "outcome_of"]


class ReplyReader:
    """Reads the replies to one request as ``returns=`` asks; in the caller's thread.

    :raises ConfigurationError: if nothing can be read as *returns*.
    """

    def __init__(self, serialization: Serialization, topic: str, returns: Any) -> None:
        self._serialization = serialization
        self._topic = topic
        self._read_body = serialization.reader(returns, pattern=topic)

    def read(self, reply: Reply) -> Any:
        """The value of *reply*.

        :raises RpcException: if it is an error.
        :raises ReplyPayloadError: if it cannot be read, or is not valid for ``returns=``.
        """
        if reply.error is not None:
            raise RpcException(reply.error)
        try:
            parsed = self._serialization.decode(reply.record, pattern=self._topic)
            return self._read_body(reply.record.value, parsed)
        except PayloadError as error:
            raise ReplyPayloadError(
                f"the reply to {self._topic!r} does not fit: {error}"
            ) from error


class ReplyFuture(CallbackFuture[Any]):
    """A future whose reply is decoded by whoever asks for the result.

    So neither a slow deserializer nor one that fails touches the thread that reads replies.
    """

    def __init__(self, reader: ReplyReader, submit: Callable[[Callable[[], object]], None]) -> None:
        super().__init__(submit)
        self._reader = reader

    def result(self, timeout: float | None = None) -> Any:
        """The reply, read as ``returns=`` asks; raises as ``send`` does."""
        return self._reader.read(super().result(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What :meth:`result` would raise."""
        error = super().exception(timeout)
        if error is not None:
            return error
        try:
            self.result(timeout)
        except Exception as read_error:  # noqa: BLE001  what result() raises is what exception() returns
            return read_error
        return None


def outcome_of(done: Future[Any]) -> Outcome:
    """What the request of a future counts as; nothing is decoded for it."""
    if done.cancelled():
        return Outcome.CANCELLED
    failed = Future.exception(done, 0) is not None or Future.result(done, 0).error is not None
    return Outcome.FAILED if failed else Outcome.REPLIED


class ReplyStream(Iterator[Any]):
    """The replies to one request, one by one. Closing it early frees its place.

    :param item_timeout: seconds to wait for each item.
    :param deadline: monotonic time at which the whole stream ends, or ``None``.
    """

    def __init__(
        self,
        slot: StreamSlot,
        reader: ReplyReader,
        topic: str,
        forget: Callable[[Outcome], object],
        *,
        item_timeout: float,
        deadline: float | None,
    ) -> None:
        self._slot = slot
        self._reader = reader
        self._topic = topic
        self._forget = forget
        self._item_timeout = item_timeout
        self._deadline = deadline
        self._had_items = False
        self._closed = False

    def __iter__(self) -> ReplyStream:
        return self

    def __next__(self) -> Any:
        if self._closed:
            raise StopIteration
        try:
            reply = self._next_reply()
            if reply is None or reply.empty or (reply.is_bare_end and self._had_items):
                self.close()
                raise StopIteration
            self._had_items = True
            return self._reader.read(reply)
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise

    def _next_reply(self) -> Reply | None:
        """The next reply, or ``None`` after the last one."""
        until = time.monotonic() + self._item_timeout
        if self._deadline is not None:
            until = min(until, self._deadline)
        try:
            return self._slot.take(until)
        except TimeoutError:
            self._forget(Outcome.TIMED_OUT)
            raise RequestTimeout(self._timeout_text()) from None

    def _timeout_text(self) -> str:
        what = "no further reply" if self._had_items else "no reply"
        return f"{what} to {self._topic!r} came in time; the request may still be worked on"

    def close(self) -> None:
        """Wait for no more replies; what still comes is dropped."""
        self._closed = True
        self._forget(Outcome.CANCELLED)

    def __enter__(self) -> ReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._forget(Outcome.CANCELLED)
