"""The thread that owns the membership in a consumer group.

It joins, heartbeats, commits, and tells its owner what the group decided. It reads no records
and runs no user code, so nothing a handler does can make the group believe it is dead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.errors import GroupError, NotConnected, TransportError
from kafka_patterns.transport.base import BrokenOff, Interrupted
from kafka_patterns.transport.group import Assignment, AssignmentListener, Member

__all__ = ["Membership", "MembershipOwner"]

logger = logging.getLogger("kafka_patterns.membership")

T = TypeVar("T")

_POLL_SECONDS = 0.1
_CRASH_BACKOFF = ExponentialBackoff(0.1, 5.0)
_TROUBLE_BACKOFF = ExponentialBackoff(0.04, 1.0)
_TOPIC_REFRESH_SECONDS = 1.0


class MembershipOwner(Protocol):
    """What client and server do with the group's decisions; in the membership's thread."""

    def before_rejoin(self, member: Member) -> bool:
        """A rebalance is due: whether it may begin; asked again and again until it may.

        It may wait for a moment; what others want of the member is done in between.
        """
        ...

    def on_revoked(self, member: Member, *, membership_lost: bool) -> None:
        """All partitions are given back; locks are held, so this must be quick."""
        ...

    def on_assigned(self, member: Member, assignment: Assignment) -> None:
        """The group decided; told before it decides again, so this must be quick."""
        ...

    def on_tick(self, member: Member) -> None:
        """After every poll of a member that is in the group."""
        ...

    def on_trouble(self, error: TransportError) -> None:
        """The coordinator or broker is away; the loop tries again."""
        ...

    def on_crash(self, error: BaseException) -> None:
        """The loop failed; a new member is made after a backoff, unless it is fatal."""
        ...

    def before_leave(self, member: Member) -> None:
        """The membership ends in good order: the last chance to commit."""
        ...


class Membership(AssignmentListener):
    """Owns one member and its thread.

    :param make_member: makes the member, in this object's thread; again after a crash.
    :param name: the name of the thread.
    :param leave_timeout: seconds the goodbye to the group may take.
    """

    def __init__(
        self,
        make_member: Callable[[AssignmentListener], Member],
        owner: MembershipOwner,
        name: str,
        *,
        leave_timeout: float = 2.0,
    ) -> None:
        self._make_member = make_member
        self._owner = owner
        self._leave_timeout = leave_timeout
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._commands: deque[tuple[Callable[[Member], Any], Future[Any]]] = deque()
        self._stop_requested = threading.Event()
        self._member: Member | None = None
        self._untold: deque[Assignment] = deque()  # one poll may join several times
        self._topics_refreshed = 0.0
        self.last_poll = time.monotonic()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, function: Callable[[Member], T]) -> Future[T]:
        """From any thread: run *function* with the member, in its thread."""
        future: Future[T] = Future()
        self._commands.append((function, future))
        if not self._thread.is_alive() and self._thread.ident is not None:
            self._refuse_commands()
        self.wake()
        return future

    def wake(self) -> None:
        """From any thread: look at commands and ticks now."""
        member = self._member
        if member is not None:
            member.wakeup()

    def stop(self, timeout: float) -> bool:
        """Commit, leave the group and end; broken off after *timeout* seconds.

        A join that is under way is not waited for.

        :returns: ``False`` if it had to be broken off.
        """
        if self._thread.ident is None:
            return True
        self._stop_requested.set()
        member = self._member
        if member is not None:
            member.break_off_join()
        self.wake()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        member = self._member
        if member is not None:
            member.interrupt()
        self._thread.join(self._leave_timeout)
        return False

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def runs_here(self) -> bool:
        """Whether the calling thread is the membership's."""
        return threading.current_thread() is self._thread

    @property
    def seconds_since_contact(self) -> float:
        """Since the group's coordinator last answered; infinite outside the group."""
        member = self._member
        return float("inf") if member is None else member.seconds_since_contact

    def unwrap(self) -> Any:
        """The client library's own consumer, or ``None`` before it was made."""
        member = self._member
        return None if member is None else member.unwrap()

    # AssignmentListener: called by the member inside its poll, with the base's locks held.

    def on_revoked(self, *, membership_lost: bool) -> None:
        if self._member is not None:
            # First: what the last one took away must not be committed in its name.
            self._tell_assignments(self._member)
            # It may have become due only within the poll that begins it.
            self._wait_for_owner(self._member)
            self._owner.on_revoked(self._member, membership_lost=membership_lost)

    def on_assigned(self, assignment: Assignment) -> None:
        self._untold.append(assignment)

    # Everything below runs in the membership's thread.

    def _run(self) -> None:
        crashes = 0
        while not self._stop_requested.is_set():
            started = time.monotonic()
            try:
                self._member = self._make_member(self)
                self._live_and_leave(self._member)
            except Interrupted:
                break
            except GroupError as error:
                self.failure = error
                self._owner.on_crash(error)
                break
            except Exception as error:
                logger.exception("the group membership failed, starting over")
                self._owner.on_crash(error)
                lived = time.monotonic() - started
                crashes = 1 if lived > _CRASH_BACKOFF.maximum else crashes + 1
                self._leave()  # a dead one must not heartbeat while it is waited for a new one
                self._stop_requested.wait(_CRASH_BACKOFF(crashes))
            finally:
                self._leave()
        self._refuse_commands()

    def _live_and_leave(self, member: Member) -> None:
        try:
            self._live(member)
        except BrokenOff:
            logger.info("a join was broken off by the stop")
        self._owner.before_leave(member)

    def _live(self, member: Member) -> None:
        trouble = 0
        self._untold.clear()  # an earlier member's mean nothing to this one
        while not self._stop_requested.is_set():
            try:
                # Told once: in an outage the owner has more to say than that it rebalances.
                if member.rejoin_needed and not trouble:
                    self._wait_for_owner(member)
                member.poll(_POLL_SECONDS)
                trouble = 0
            except GroupError:
                raise
            except TransportError as error:
                trouble += 1
                self._owner.on_trouble(error)
                self._stop_requested.wait(_TROUBLE_BACKOFF(trouble))
            finally:
                self.last_poll = time.monotonic()
            self._tell_assignments(member)
            self._run_commands(member)
            if not trouble:
                self._owner.on_tick(member)
                self._look_for_missing_topics(member)

    def _wait_for_owner(self, member: Member) -> None:
        """Until the owner lets a rebalance begin.

        Whatever it waits for may itself wait for a command: a handler that commits.
        """
        while not (self._owner.before_rejoin(member) or self._stop_requested.is_set()):
            self._run_commands(member)

    def _tell_assignments(self, member: Member) -> None:
        while self._untold:
            self._owner.on_assigned(member, self._untold.popleft())

    def _look_for_missing_topics(self, member: Member) -> None:
        """A topic that does not exist yet would otherwise be noticed minutes after it does."""
        now = time.monotonic()
        if now - self._topics_refreshed > _TOPIC_REFRESH_SECONDS:
            self._topics_refreshed = now
            if member.missing_topics():
                member.refresh_topics()

    def _run_commands(self, member: Member) -> None:
        while self._commands:
            function, future = self._commands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(member))
            except Exception as error:  # noqa: BLE001  what it raises belongs to whoever asked
                future.set_exception(error)
            except Interrupted:
                future.set_exception(NotConnected("the group membership ends"))
                raise

    def _refuse_commands(self) -> None:
        while self._commands:
            _, future = self._commands.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(NotConnected("the group membership has ended"))

    def _leave(self) -> None:
        member, self._member = self._member, None
        if member is None:
            return
        try:
            member.close(self._leave_timeout)
        except Interrupted:
            logger.warning("the goodbye to the group was broken off")
        except Exception:
            logger.warning("a member did not close cleanly", exc_info=True)
