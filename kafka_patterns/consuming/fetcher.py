"""The thread that reads: assigned partitions in, batches of records out.

It knows no group. What it reads, and from where, others tell it through commands; what it
reads goes to one sink, which is asked before how much it has room for, partition by partition:
a full one never keeps the others from being read.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import Any

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.consuming.lookups import Lookups
from kafka_patterns.consuming.positions import Positions
from kafka_patterns.consuming.sink import RecordSink
from kafka_patterns.errors import TransportError
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.transport.base import (
    Admin,
    Interrupted,
    OffsetOutOfRange,
    PartitionsReappeared,
    Reader,
    Room,
)

__all__ = ["Fetcher"]

logger = logging.getLogger("kafka_patterns.fetcher")

_POLL_SECONDS = 0.5
_ERROR_BACKOFF = ExponentialBackoff(0.1, 2.0)
_UNWRAP_SECONDS = 2.0


class Fetcher:
    """Owns one reader and the thread that polls it.

    :param make_reader: makes the reader, in this object's thread; again after a failure.
    :param admin: looks up the first offset of a partition whose position fell out of the log,
        in a thread of its own.
    :param name: the name of the thread.
    :param reread_seconds: for whom records may come twice: of a partition that no broker knew
        for a while, what was written from so long before that on is read again, in case that its
        topic was made anew. By the clocks of whoever writes.
    """

    def __init__(
        self,
        make_reader: Callable[[], Reader],
        sink: RecordSink,
        admin: Admin,
        name: str,
        *,
        reread_seconds: float | None = None,
    ) -> None:
        self._make_reader = make_reader
        self._sink = sink
        self._lookups = Lookups(admin, self._submit, f"{name}-lookups")
        self._positions = Positions(sink, self._lookups, self._reader_now, reread_seconds)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._commands: deque[Callable[[], object]] = deque()  # append and popleft are atomic
        self._news = threading.Event()
        self._stop_requested = threading.Event()
        self._polling = False
        self._paused: set[TopicPartition] = set()
        self._reader: Reader | None = None
        self._errors = 0  # since the last poll that went well
        self.last_poll = time.monotonic()
        self.last_error: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def assign(
        self,
        partition: TopicPartition,
        offset: int,
        token: Any = None,
        reading: Callable[[], None] | None = None,
    ) -> None:
        """From any thread: read *partition* from *offset* on.

        :param token: handed to the sink with every batch.
        :param reading: called in the fetcher's thread once the partition is being read.
        """

        def command() -> None:
            self._positions.open(partition, offset, token)
            try:
                self._reader_now().assign(partition, offset)
            except Exception:
                self._commands.appendleft(command)  # whoever waits for `reading` still does
                raise
            if reading is not None:
                reading()

        self._submit(command)

    def unassign(self, partition: TopicPartition) -> None:
        """From any thread: stop reading *partition*; what was not delivered is dropped."""

        def command() -> None:
            self._paused.discard(partition)
            if self._positions.close(partition):
                self._reader_now().unassign([partition])

        self._submit(command)

    def run(self, function: Callable[[Reader], object]) -> None:
        """From any thread: run *function* in the fetcher's thread, with its reader."""
        self._submit(lambda: function(self._reader_now()))

    def pause(self, partition: TopicPartition) -> None:
        """From any thread: deliver nothing of *partition*, if assigned, until :meth:`resume`."""

        def command() -> None:
            if partition in self._positions:
                self._paused.add(partition)

        self._submit(command)

    def resume(self, partition: TopicPartition) -> None:
        """From any thread: deliver *partition* again, from where it was left."""
        self._submit(lambda: self._paused.discard(partition))

    def seek(self, partition: TopicPartition, offset: int, token: Any = None) -> None:
        """From any thread: read *partition* on from *offset*.

        :param token: if given, only while the partition is read with it.
        """
        self._submit(lambda: self._positions.seek(partition, offset, token))

    def wake(self) -> None:
        """From any thread: the sink may take more than before."""
        self._news.set()
        if self._polling:
            reader = self._reader
            if reader is not None:
                reader.wakeup()

    def stop(self, timeout: float) -> bool:
        """Stop and close the reader; ``False`` if the thread did not end within *timeout*."""
        self._stop_requested.set()
        self._news.set()
        reader = self._reader
        if reader is not None:
            reader.interrupt()
        deadline = time.monotonic() + timeout
        if self._thread.ident is not None:
            self._thread.join(timeout)
        looked_up = self._lookups.close(max(0.0, deadline - time.monotonic()))
        return looked_up and not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end of *partition* as last seen in a fetch."""
        reader = self._reader
        return None if reader is None else reader.end_offset(partition)

    def stalled(self) -> Collection[StalledPartition]:
        """From any thread: the partitions that cannot be read now, which keeps no other waiting."""
        reader = self._reader
        return () if reader is None else reader.stalled()

    def unwrap(self) -> Any:
        """The client library's own consumer, made now if nothing was read yet.

        ``None`` if the thread has ended, or does not make one in time.
        """
        made: Future[Any] = Future()
        if self.alive:
            self.run(lambda reader: made.set_result(reader.unwrap()))
            wait_for_futures([made], _UNWRAP_SECONDS)
        return made.result() if made.done() else None

    def _submit(self, command: Callable[[], object]) -> None:
        self._commands.append(command)
        self.wake()

    # Everything below runs in the fetcher's thread.

    def _run(self) -> None:
        while not self._stop_requested.is_set():
            try:
                self._step()
            except TransportError as error:
                self._note(error, "reading failed, trying again: %s", error)
            except BaseException as error:  # noqa: BLE001  whatever ended it, reading starts over
                self._note(error, "the fetcher failed, starting over with a new connection")
                self._drop_reader()
        self._run_last_commands()
        self._drop_reader()

    def _run_last_commands(self) -> None:
        """What was asked before the stop: where a partition was sought is still to be committed."""
        while self._commands:
            with contextlib.suppress(Interrupted):  # what needs the reader comes too late
                self._commands.popleft()()

    def _note(self, error: BaseException, text: str, *arguments: Any) -> None:
        self.last_error = error
        if not self._stop_requested.is_set():
            logger.warning(text, *arguments, exc_info=None if arguments else error)
            self._errors += 1
            self._stop_requested.wait(_ERROR_BACKOFF(self._errors))

    def _step(self) -> None:
        self._run_commands()
        self._positions.find_lost()
        if any(self._room(partition).records for partition in self._positions):
            self._poll()
        else:
            self._wait_for_news()

    def _room(self, partition: TopicPartition) -> Room:
        position = self._positions.get(partition)
        if position is None or position.unknown_until is not None:
            return Room(0, 0)
        if partition in self._paused:
            return Room(0, 0)
        return self._sink.room(partition, position.token)

    def _run_commands(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _wait_for_news(self) -> None:
        """Backpressure is not polling: nothing expires, and nothing buffered is lost."""
        self._news.wait(_POLL_SECONDS)
        self._news.clear()
        self.last_poll = time.monotonic()

    def _poll(self) -> None:
        reader = self._reader_now()
        self._news.clear()
        self._polling = True
        try:
            # A command or a wake that came before `_polling` was set has not woken the reader.
            timeout = 0.0 if self._commands or self._stop_requested.is_set() else _POLL_SECONDS
            fetched = reader.poll(timeout, self._room)
        except OffsetOutOfRange as error:
            self._positions.lose(error.positions)
            return
        except PartitionsReappeared as error:
            self._positions.doubt(error.unknown_since)
            return
        finally:
            self._polling = False
            self.last_poll = time.monotonic()
        for partition, records in fetched.items():
            self._deliver(partition, records)
        for partition, offset in reader.take_reached().items():
            self._pass(partition, offset)
        self._errors = 0

    def _deliver(self, partition: TopicPartition, records: list[Record]) -> None:
        position = self._positions.get(partition)
        if position is None:
            return
        self._sink.deliver(partition, position.token, records)
        position.next_offset = records[-1].offset + 1

    def _pass(self, partition: TopicPartition, offset: int) -> None:
        position = self._positions.get(partition)
        if position is not None and offset > position.next_offset:
            position.next_offset = offset
            self._sink.passed(partition, position.token, offset)

    def _reader_now(self) -> Reader:
        if self._stop_requested.is_set():
            raise Interrupted
        if self._reader is None:
            reader = self._make_reader()
            self._positions.hand_to(reader)
            self._reader = reader
        return self._reader

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        try:
            reader.close()
        except Exception:
            logger.warning("a reader did not close cleanly", exc_info=True)
