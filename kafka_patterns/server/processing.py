"""What a worker does with one message, and the books it keeps. In the workers' threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError

import attrs

from kafka_patterns.consuming.brief_lock import BriefLock
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.errors import CommitFailed
from kafka_patterns.server.batches import BatchDispatcher, BatchOutcome
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import Ledger
from kafka_patterns.server.outcome import Deferred, Finished, Outcome, Stop
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.watch import Watch
from kafka_patterns.server.work import WorkItem
from kafka_patterns.transport.group import Member

__all__ = ["Books", "Processor"]

_CONTACT_SECONDS = 0.1
_COMMIT_SECONDS = 30.0
_NOTE_SECONDS = 0.01
"""How long to wait for the commit that says that a message is under way."""


@attrs.frozen
class Books:
    """Who must hear of a finished message.

    :param auto_commit: whether a message that is through may be committed by itself.
    :param threshold: how many finished messages hurry a commit, or ``None``.
    """

    ledger: Ledger
    committer: Committer
    membership: Membership
    fetcher: Fetcher
    auto_commit: bool
    threshold: int | None
    # Guards the ends of items with several, and what moves them aside and back.
    ends_lock: BriefLock = attrs.field(factory=BriefLock)

    def may_begin(self, item: WorkItem) -> bool:
        """Whether work on the item may begin; else a commit that notes it is on its way."""
        care = item.assigned.care
        if care is None or care.may_begin(item.record.offset):
            return True
        self.committer.hurry()
        self.membership.wake()
        return False

    def takes_care(self, item: WorkItem) -> bool:
        """Whether it was noted that the item is under way."""
        care = item.assigned.care
        return care is not None and care.is_under_way(item.record.offset)

    def outlived(self, item: WorkItem) -> None:
        """A try of the item is over, and this process is still here."""
        if item.assigned.care is not None:
            item.assigned.care.ended(item.record.offset)

    def release(self, item: WorkItem) -> None:
        """One end of the item came: at the last it is finished, unless the user commits by hand.

        What ended without a handler's return is finished all the same. Most items have one
        end; a request that becomes a dead letter has two.
        """
        self._end(item, finished=self.auto_commit or item.given_up)

    def skip(self, item: WorkItem) -> None:
        """The item is for nobody here: finished, also if the user commits by hand."""
        self._end(item, finished=True)

    def free(self, item: WorkItem) -> None:
        """One end of the item came to nothing: at the last it is held no longer, not finished."""
        item.unfinished = True
        self._end(item, finished=False)

    def reply_ended(self, item: WorkItem, delivered: bool) -> None:  # noqa: FBT001
        """The replies of the item are settled.

        :param delivered: whether they went where they could; else they were given up on their way.
        """
        if delivered:
            self.release(item)
        else:
            self.free(item)

    def _end(self, item: WorkItem, *, finished: bool) -> None:
        if item.ends_left > 1:
            with self.ends_lock:
                item.ends_left -= 1
                if item.ends_left:
                    return
        self._release(item, finished=finished and not item.unfinished)

    def _release(self, item: WorkItem, *, finished: bool) -> None:
        if item.asides:
            self._move_back([item])
        makes_room, count = self.ledger.release(item.assigned, item.record, finished=finished)
        if makes_room:
            self.fetcher.wake()
        if finished:
            self._hurry_if_many(count)

    def _hurry_if_many(self, finished: int) -> None:
        if self.threshold is not None and finished >= self.threshold:
            self.committer.hurry()
            self.membership.wake()

    def set_aside(self, items: Iterable[WorkItem]) -> None:
        """The items wait for a failing one: they make room for others of their partition.

        Not where the whole partition waits: there are no others then.
        """
        self._move_aside(item for item in items if item.lets_others_pass)

    def take_back(self, items: Iterable[WorkItem]) -> None:
        """The items do not wait aside any longer."""
        self._move_back(item for item in items if item.lets_others_pass)

    def reply_waits(self, item: WorkItem) -> None:
        """The reply of the item cannot go yet: until its end it makes room for others."""
        self._move_aside([item])

    def _move_aside(self, items: Iterable[WorkItem]) -> None:
        """There is one more reason to hold the items aside."""
        with self.ends_lock:
            moved = []
            for item in items:
                item.asides += 1
                if item.asides == 1:
                    moved.append((item.assigned, item.record))
            makes_room = self.ledger.set_aside(moved)
        if makes_room:
            self.fetcher.wake()

    def _move_back(self, items: Iterable[WorkItem]) -> None:
        """There is one reason less."""
        with self.ends_lock:
            moved = []
            for item in items:
                item.asides -= 1
                if not item.asides:
                    moved.append((item.assigned, item.record))
            self.ledger.take_back(moved)

    def commit_by_user(self, items: Sequence[WorkItem]) -> bool:
        """Finish the items, all of one partition, and commit, waiting for it.

        :returns: ``False`` if the partition was lost before: nothing of it was committed.
        :raises CommitFailed: if the broker did not take it.
        """
        assigned = items[0].assigned
        finished = [self.ledger.finish(assigned, item.record) for item in items]
        self._hurry_if_many(finished[-1])

        def commit(member: Member) -> bool:
            # In the thread that gives partitions up: what is not lost now can be committed.
            if assigned.lost:
                return False
            try:
                self.committer.commit_now(member, _COMMIT_SECONDS)
            except CommitFailed as error:
                if not error.forbidden or assigned.partition.topic in error.forbidden:
                    raise
            return True

        try:
            return self.membership.submit(commit).result(_COMMIT_SECONDS + 1)
        except FutureTimeoutError:
            raise CommitFailed(
                f"the group's coordinator did not take a commit of {assigned.partition} within "
                f"{_COMMIT_SECONDS:g} s; a later commit may still hold it"
            ) from None


class Processor:
    """Works on one item at a time, in as many threads as there are workers.

    :param session_seconds: after that long without the group's coordinator nothing starts.
    :param fatal: told of an error after which the server must stop.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        batches: BatchDispatcher,
        lanes: Lanes[WorkItem],
        books: Books,
        watch: Watch,
        counters: Counters,
        recovery: Recovery,
        *,
        session_seconds: float,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._batches = batches
        self._lanes = lanes
        self._books = books
        self._watch = watch
        self._counters = counters
        self._recovery = recovery
        self._session_seconds = session_seconds
        self._fatal = fatal

    def work(self, item: WorkItem) -> None:
        """Work on *item*, and tell the lanes and the books what became of it."""
        if item.assigned.lost:
            self._lanes.done(item)
            self._books.free(item)
            return
        if self._books.membership.seconds_since_contact > self._session_seconds:
            # Others may own it by now. The next answer of the coordinator tells.
            self._lanes.hold(item, _CONTACT_SECONDS)
            return
        left = self._recovery.seconds_until_due(item) if item.route.retry_level else 0
        if left > 0:
            self._lanes.hold(item, left)
            return
        if not self._books.may_begin(item):
            self._lanes.hold(item, _NOTE_SECONDS)
            return
        handler = item.route.batch_handler
        if handler is not None:
            self._work_on_batch(item, handler)
            return
        self._watch.begin(item)
        try:
            outcome = self._dispatcher.process(item)
        except BaseException as error:  # noqa: BLE001  a fault of ours: no message is lost by it
            outcome = self._recovery.after_crash(item, error)
        self._books.outlived(item)
        self._settle(item, outcome)

    def _work_on_batch(self, first: WorkItem, handler: Handler) -> None:
        """Work on *first* and what follows it, once enough came or it waited long enough."""
        batch = handler.mark.batch
        assert batch is not None
        # With care one by one, so that it is known which of them was under way.
        max_size = 1 if self._books.takes_care(first) else batch.max_size
        items = self._lanes.gather(first, max_size)
        left = first.arrived + batch.max_wait - time.monotonic()
        is_full = self._books.ledger.is_full
        if len(items) < max_size and left > 0 and not is_full(first.assigned):
            self._lanes.hold(first, left, wake_at=max_size)
            if is_full(first.assigned):  # only just: then nobody woke the lane, which did not wait
                self._lanes.wait_for_no_more(first.assigned)
            return
        self._watch.begin(first)
        try:
            outcome = self._batches.process(items, handler)
        except BaseException as error:  # noqa: BLE001  a fault of ours: no message is lost by it
            outcome = BatchOutcome(0, self._recovery.after_crash(first, error))
        self._watch.end(first)
        self._books.outlived(first)
        self._settle_batch(items, outcome.finished, outcome.rest, outcome.rest_count)

    def _settle_batch(
        self, items: Sequence[WorkItem], finished: int, rest: Outcome, rest_count: int
    ) -> None:
        if isinstance(rest, Deferred):
            rest.when_settled(
                lambda settled: self._settle_batch(items, finished, settled, rest_count)
            )
            return
        if isinstance(rest, Finished):
            finished += rest_count
        self._counters.add("handled", finished)
        for item in items[:finished]:
            self._watch.succeed(item)
            if not self._dispatcher.answer_without_handler(item):
                self._books.release(item)
        if isinstance(rest, Finished):
            self._lanes.done(items[0], finished)
            return
        self._counters.add("failed")
        self._watch.fail(items[finished], rest.error)
        self._lanes.hold(items[0], rest.seconds, done=finished, failed=True)
        if isinstance(rest, Stop):
            self._fatal(rest.error)

    def _settle(self, item: WorkItem, outcome: Outcome) -> None:
        if isinstance(outcome, Deferred):
            if item.letters:
                self._watch.end(item)  # the broker is waited for, and nobody else
            else:
                self._watch.leave(item)
            outcome.when_settled(lambda settled: self._settle(item, settled))
            return
        self._watch.end(item)
        if isinstance(outcome, Finished):
            self._counters.add("handled")
            self._watch.succeed(item)
            if not outcome.reply_under_way:
                # First: whoever waits until nothing runs then commits what the books say.
                self._books.release(item)
            self._lanes.done(item)
            return
        self._counters.add("failed")
        self._watch.fail(item, outcome.error)
        self._lanes.hold(item, outcome.seconds, failed=True)
        if isinstance(outcome, Stop):
            self._fatal(outcome.error)
