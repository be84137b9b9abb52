"""How a client reads its replies: directly, or by the partitions that its group gives it."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial

from kafka_patterns.client.assignor import ReplyAssignmentPolicy
from kafka_patterns.client.opener import Opener
from kafka_patterns.client.pending import PendingRequests
from kafka_patterns.client.replies import ReplyRouter
from kafka_patterns.client.reply_partitions import ReplyPartitions
from kafka_patterns.client.reply_topics import why_unfit
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.consuming.outage import Outage
from kafka_patterns.consuming.topics import check_right, find_topics
from kafka_patterns.errors import (
    ClientClosed,
    GroupError,
    NotConnected,
    ReplyTopicError,
    TransportError,
)
from kafka_patterns.message import TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.rights import READ
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.base import LATEST, Admin, Transport
from kafka_patterns.transport.group import Assignment, CoordinatorSilent, Member

__all__ = ["ReplyConsumer"]

logger = logging.getLogger("kafka_patterns.client")

_FIRST_LOOKUP_SECONDS = 0.5
_LOOKUP_SECONDS = 2.0
_TOPIC_PATIENCE_SECONDS = 3.0
_OPENING_SECONDS = 3.0
_JOIN_MARGIN_SECONDS = 30.0
_WAIT_SLICE_SECONDS = 0.1
_REREAD_SECONDS = 60.0


class ReplyConsumer:
    """Owns the fetcher, and the membership if a group divides the reply partitions.

    It is the membership's owner: the group's decisions go to the reply partitions.

    :param admin: asked for topics and offsets.
    :param router: given the replies.
    :param name: the beginning of the threads' names.
    :param set_status: told of every change.
    :param watch: told without a group, again and again, whether no broker can be reached.
    """

    def __init__(
        self,
        options: KafkaOptions,
        transport: Transport,
        admin: Admin,
        pending: PendingRequests,
        router: ReplyRouter,
        group_id: str,
        name: str,
        set_status: Callable[[KafkaStatus], None],
        watch: Callable[[bool], None],
    ) -> None:
        self._watch_outage = watch
        self._options = options
        self._transport = transport
        self._admin = admin
        self._router = router
        self._group_id = group_id
        self._name = name
        self._set_status = set_status
        self._outage = Outage()
        self._closing = threading.Event()
        self._draw = secrets.randbits(32)
        self._chosen: dict[str, int] = {}
        self._untaken: dict[str, list[int]] | None = None  # what the group decided since the tick
        self._subscribing = threading.Lock()  # held while topics are added
        self.partitions = ReplyPartitions(self, pending, group_id, options.client.brokers)
        self._opener = Opener(self.partitions, self._closing, f"{name}-opener")
        self.fetcher: Fetcher | None = None
        self.membership: Membership | None = None

    def subscribe(self, reply_topics: Collection[str]) -> None:
        """Read *reply_topics* too; return when requests can name them.

        A partition whose leader does not answer is opened later; until then requests to its
        topic alone are refused.

        :raises GroupError: if the group does not accept this client.
        :raises NotAuthorized: if the right to read a reply topic is missing.
        :raises ReplyTopicError: in direct mode, if a topic does not exist.
        :raises TransportError: if the group did not settle in time.
        """
        with self._subscribing:
            new = [topic for topic in reply_topics if topic not in self.partitions.subscribed]
            try:
                if new and not self._closing.is_set():
                    self._subscribe(new)
            except (TransportError, NotConnected):
                if not self._closing.is_set():
                    raise
            if self._closing.is_set():
                raise ClientClosed("the client was closed meanwhile")

    def _subscribe(self, new: Collection[str]) -> None:
        check_right(self._admin, new, READ)
        _, missing = find_topics(self._admin, new, _TOPIC_PATIENCE_SECONDS, self._closing.wait)
        if missing:
            logger.warning(
                "these reply topics do not exist and the broker does not create them: %s",
                ", ".join(sorted(missing)),
            )
            self.partitions.note_missing(missing)
        if self.fetcher is None:
            self.fetcher = self._start_fetcher()
        is_member = self.membership is not None
        if self._options.reply.mode == "direct":
            self._name_directly(new)
        else:
            self._join(new)
        self._wait_until_settled()
        if is_member:
            # A leader that hears of a topic only by our join gives it in a second round.
            self.partitions.wait_until_named(new, _TOPIC_PATIENCE_SECONDS)

    def _start_fetcher(self) -> Fetcher:
        fetcher = Fetcher(
            lambda: self._transport.reader(watch=self._watch),
            self._router,
            self._admin,
            f"{self._name}-fetcher",
            reread_seconds=_REREAD_SECONDS,
        )
        fetcher.start()
        return fetcher

    def _watch(self, lost: bool) -> None:  # noqa: FBT001
        """In direct mode the reader, which always asks for something, tells of outages."""
        if self.membership is None:
            self._watch_outage(lost)

    def _name_directly(self, new: Collection[str]) -> None:
        chosen = {topic: self._choose(topic) for topic in new}
        for topic in new:
            self.partitions.subscribe(topic)
        self._chosen |= chosen
        self.partitions.assign({topic: [number] for topic, number in self._chosen.items()})

    def _choose(self, topic: str) -> int:
        """In direct mode: the configured partition, or one that differs between instances."""
        known = sorted(self._admin.partitions(topic, _LOOKUP_SECONDS) or ())
        wanted = self._options.reply.partition
        if not known or (wanted is not None and wanted not in known):
            raise ReplyTopicError(
                why_unfit(topic, len(known), (wanted or 0) + 1, self._options.client.brokers)
            )
        return known[self._draw % len(known)] if wanted is None else wanted

    def _join(self, new: Collection[str]) -> None:
        if self.membership is not None:
            self._join_again(self.membership, new)
            return
        for topic in new:
            self.partitions.subscribe(topic)
        policy = ReplyAssignmentPolicy(self.partitions.named)
        self.membership = Membership(
            lambda listener: self._transport.member(
                self._group_id, self.partitions.subscribed, policy, listener
            ),
            self,
            f"{self._name}-member",
        )
        self.membership.start()

    def _join_again(self, membership: Membership, new: Collection[str]) -> None:
        def change(member: Member) -> None:
            # Not before: a join that is under way would say nothing about these.
            for topic in new:
                self.partitions.subscribe(topic)
            member.subscribe(self.partitions.subscribed)

        try:
            membership.submit(change).result(_JOIN_MARGIN_SECONDS)
        except FutureTimeoutError:
            raise TransportError(
                f"group {self._group_id!r} was joining for {_JOIN_MARGIN_SECONDS:g} s, so that "
                f"{', '.join(new)} could not be added"
            ) from None

    def _wait_until_settled(self) -> None:
        session_seconds = self._options.consumer.session_timeout_ms / 1000
        deadline = time.monotonic() + session_seconds + _JOIN_MARGIN_SECONDS
        opening_ends = time.monotonic() + _OPENING_SECONDS
        while not self.partitions.wait_until_settled(_WAIT_SLICE_SECONDS):
            if self._closing.is_set():
                raise ClientClosed("the client was closed while it connected")
            if self.membership is not None and not self.membership.alive:
                failure = self.membership.failure
                raise failure or TransportError("the group membership ended while it joined")
            if self.partitions.unopened and time.monotonic() > opening_ends:
                self._opener.start()
                return
            if time.monotonic() > deadline:
                raise TransportError(
                    f"group {self._group_id!r} did not settle within "
                    f"{session_seconds + _JOIN_MARGIN_SECONDS:g} s: the reply topics "
                    f"{', '.join(self.partitions.subscribed)} may not exist, or their leaders "
                    "do not answer"
                )
            self.partitions.open_wanted()

    def give_up(self) -> None:
        """From any thread: let a running :meth:`subscribe` end with an error."""
        self._closing.set()

    def close(self, deadline: float) -> None:
        """Leave the group and end the threads, until about monotonic *deadline*."""
        self._closing.set()
        # What begins threads has seen by then that this ends.
        if self._subscribing.acquire(timeout=max(0.1, deadline - time.monotonic())):
            self._subscribing.release()
        if self.membership is not None:
            self.membership.stop(max(0.1, deadline - time.monotonic()))
        if self.fetcher is not None and not self.fetcher.stop(
            max(0.5, deadline - time.monotonic())
        ):
            logger.warning("the thread %s-fetcher did not end in time", self._name)
        self._opener.join(max(0.1, deadline - time.monotonic()))
        self.partitions.forget()

    # PartitionReader

    def read_from_end(
        self, partitions: Collection[TopicPartition], reading: Callable[[TopicPartition], None]
    ) -> Collection[TopicPartition]:
        assert self.fetcher is not None
        missing = set(partitions)
        # Those that answer at once need not wait for one whose leader is away.
        for timeout in (_FIRST_LOOKUP_SECONDS, _LOOKUP_SECONDS):
            ends = self._admin.offsets(dict.fromkeys(missing, LATEST), timeout) if missing else {}
            for partition, offset in ends.items():
                self.fetcher.assign(partition, offset, reading=partial(reading, partition))
            missing.difference_update(ends)
        return missing

    def stop_reading(self, partition: TopicPartition) -> None:
        assert self.fetcher is not None
        self.fetcher.unassign(partition)

    def stalled(self) -> Collection[StalledPartition]:
        return () if self.fetcher is None else self.fetcher.stalled()

    # MembershipOwner

    def before_rejoin(self, member: Member) -> bool:
        """A rebalance waits for nothing here: reading goes on."""
        return True

    def on_revoked(self, member: Member, *, membership_lost: bool) -> None:
        if self.partitions.settled:
            self._set_status(KafkaStatus.REBALANCING)

    def on_assigned(self, member: Member, assignment: Assignment) -> None:
        by_topic: dict[str, list[int]] = {}
        for topic, partition in sorted(assignment.partitions):
            by_topic.setdefault(topic, []).append(partition)
        logger.info("group %s, generation %d: %s", self._group_id, assignment.generation, by_topic)
        self._untaken = by_topic

    def on_tick(self, member: Member) -> None:
        self._outage.over()
        assignment, self._untaken = self._untaken, None
        if assignment is not None:
            self.partitions.assign(assignment)
        if self.partitions.unopened:
            self._opener.start()
        if self.partitions.settled and not self._closing.is_set():
            self._set_status(KafkaStatus.CONNECTED)

    def on_trouble(self, error: TransportError) -> None:
        lasted = isinstance(error, CoordinatorSilent)
        if self._outage.trouble(time.monotonic(), lasted=lasted) and not self._closing.is_set():
            logger.warning("group %s: %s", self._group_id, error)
            self._set_status(KafkaStatus.DISCONNECTED)

    def on_crash(self, error: BaseException) -> None:
        if isinstance(error, GroupError):
            logger.error("%s", error)
        self._untaken = None
        self._set_status(KafkaStatus.CRASHED)

    def before_leave(self, member: Member) -> None:
        """Replies are not committed: a client that starts anew reads from the end."""
