"""The running parts of a server, and what they do with the group's decisions.

Three roles: the membership joins and commits, the fetcher reads, the workers run handlers. The
engine connects them and ends them in order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.consuming.outage import Outage
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.consuming.topics import find_missing_topics
from kafka_patterns.errors import CommitFailed, GroupError, TransportError
from kafka_patterns.failures.backoff import ExponentialBackoff
from kafka_patterns.failures.filters import ExceptionFilter
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.assignor import StickyPolicy
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.replies import Replier, default_allow_reply_topic
from kafka_patterns.server.routes import Routes
from kafka_patterns.server.work import Finished, Retry, Stop, WorkItem
from kafka_patterns.server.workers import WorkerPool
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.base import Member, Room, Transport

__all__ = ["Engine"]

logger = logging.getLogger("kafka_patterns.server")

_COMMIT_SECONDS = 30.0
_CONTACT_SECONDS = 0.1
_TOPIC_PATIENCE_SECONDS = 3.0
_CLOSE_SECONDS = 2.0


class Engine:
    """Everything that runs between ``start`` and ``stop`` of one server.

    :param set_status: told of every change.
    :param fatal: told of an error after which the server must stop.
    """

    def __init__(
        self,
        options: KafkaOptions,
        transport: Transport,
        routes: Routes,
        serialization: Serialization,
        filters: Sequence[ExceptionFilter],
        group_id: str,
        name: str,
        set_status: Callable[[KafkaStatus], None],
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._options = options
        self._routes = routes
        self._group_id = group_id
        self._set_status = set_status
        self._fatal = fatal
        self._stopping = threading.Event()
        self._session_seconds = options.consumer.session_timeout_ms / 1000
        self._outage = Outage()
        run = options.run
        redelivery = options.redelivery
        self._backoff = ExponentialBackoff(
            redelivery.initial_retry_time_ms / 1000,
            redelivery.max_retry_time_ms / 1000,
            float(redelivery.multiplier),
        )
        self.ledger = Ledger(run.max_in_flight, run.max_in_flight_bytes)
        self._admin = transport.admin()
        self._transport = transport
        self._name = name
        self._timers = Timers(f"{name}-timers")
        self.lanes: Lanes[WorkItem] = Lanes(self._timers)
        self._filters = filters
        self._serialization = serialization
        self._pool = WorkerPool(run.workers, self.lanes, self._work, f"{name}-worker")
        policy = StickyPolicy(lambda: self.ledger.partitions)
        self.fetcher = Fetcher(transport.reader, self, self._admin, f"{name}-fetcher")
        self.membership = Membership(
            lambda listener: transport.member(group_id, routes.topics, policy, listener),
            self,
            f"{name}-member",
        )
        self.committer = Committer(
            self.ledger, interval=run.auto_commit_interval_ms / 1000, group=group_id
        )
        self.assignments = Assignments(
            self.ledger,
            self._admin,
            self.fetcher,
            from_beginning=options.subscribe.from_beginning,
        )

    def start(self) -> None:
        """Connect and start the threads.

        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        """
        self._admin.check_connection(self._options.client.connection_timeout_ms / 1000)
        self._find_topics()
        self.producer = self._transport.producer()
        send_timeout = self._options.send.timeout_ms / 1000
        self.consumer_driver = ConsumerDriver(self.membership, self.fetcher)
        self.producer_driver = ProducerDriver(
            self.producer,
            lambda topic, payload: self._serialization.encode(payload, topic=topic, pattern=topic),
            send_timeout,
        )
        own_topics = frozenset(self._routes.topics)
        self.replier = Replier(
            self.producer,
            self._serialization,
            self._timers,
            allow=self._options.run.allow_reply_topic or default_allow_reply_topic,
            own_topics=lambda: own_topics,
            send_timeout=send_timeout,
        )
        self._dispatcher = Dispatcher(
            self._serialization,
            self.replier,
            self._timers,
            self.consumer_driver,
            self.producer_driver,
            self._filters,
            on_poison=self._options.run.on_poison,
            commit=self._commit_by_user,
            reply_settled=self._release,
            still_wanted=lambda item: not item.assigned.lost and not self._stopping.is_set(),
        )
        self._pool.start()
        self.fetcher.start()
        self.membership.start()

    def _find_topics(self) -> None:
        """A topic that is made after this is read from its beginning, whatever the option."""
        new, missing = find_missing_topics(
            self._admin, self._routes.topics, _TOPIC_PATIENCE_SECONDS, self._stopping.wait
        )
        self.assignments.read_from_beginning(new)
        if missing:
            logger.warning(
                "these topics do not exist and the broker does not create them: %s; they are "
                "read from their beginning once they do",
                ", ".join(sorted(missing)),
            )

    def stop(self, timeout: float) -> bool:
        """Drain: no more reading, running handlers finish, replies go out, commit, leave.

        :returns: ``False`` if something had to be broken off to keep within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        self._stopping.set()
        clean = self.fetcher.stop(min(left(), _CLOSE_SECONDS))
        self.lanes.close()
        still_running = self._pool.join(left())
        if still_running:
            clean = False
            logger.warning(
                "handlers still run after %g s and are left behind: %s; their messages are "
                "delivered again",
                timeout,
                ", ".join(still_running),
            )
        producer = getattr(self, "producer", None)
        if producer is not None:
            clean = producer.flush(left()) and clean
        clean = self.membership.stop(left()) and clean
        if producer is not None:
            producer.close(min(left(), _CLOSE_SECONDS))
        self._timers.close(_CLOSE_SECONDS)
        self._admin.close()
        return clean

    # RecordSink: the fetcher's thread

    def room(self, partition: TopicPartition, token: AssignedPartition) -> Room:
        return self.ledger.room(token)

    def deliver(
        self, partition: TopicPartition, token: AssignedPartition, records: list[Record]
    ) -> None:
        """Put records into their lanes."""
        route = self._routes.get(partition.topic)
        if route is None:
            return
        new = self.ledger.accept(token, records)
        ordering = route.ordering(self._options.run.ordering)
        self.lanes.put(
            [(_lane_key(token, record, ordering), WorkItem(record, token, route)) for record in new]
        )

    def restarted(
        self, partition: TopicPartition, token: AssignedPartition, offset: int
    ) -> AssignedPartition:
        """Begin a new epoch: an offset finished before says nothing about the new record."""
        if token.lost:
            return token
        self._end_epochs([partition])
        return self.ledger.open(partition, OffsetAndMetadata(offset))

    # The workers' threads

    def _work(self, item: WorkItem) -> None:
        if item.assigned.lost:
            self.lanes.done(item)
            self._release_room(item)
            return
        if self.membership.seconds_since_contact > self._session_seconds:
            # Others may own it by now. The next answer of the coordinator tells.
            self.lanes.hold(item, _CONTACT_SECONDS)
            return
        try:
            outcome = self._dispatcher.process(item)
        except BaseException as error:  # a handler may raise SystemExit; the worker stays
            logger.exception("a handler raised %s", type(error).__name__)
            outcome = Retry(error)
        if isinstance(outcome, Finished):
            self.lanes.done(item)
            if not outcome.reply_under_way:
                self._release(item)
            return
        self.lanes.hold(item, self._backoff.seconds(item.attempt))
        if isinstance(outcome, Stop):
            self._fatal(outcome.error)

    def _release(self, item: WorkItem) -> None:
        """The item is through: finished, unless the user commits by hand."""
        if self._options.run.auto_commit:
            self._finish(item)
        self._release_room(item)

    def _finish(self, item: WorkItem) -> None:
        finished = self.ledger.finish(item.assigned, item.record.offset)
        threshold = self._options.run.auto_commit_threshold
        if threshold is not None and finished >= threshold:
            self.committer.hurry()
            self.membership.wake()

    def _release_room(self, item: WorkItem) -> None:
        if self.ledger.release(item.assigned, item.record):
            self.fetcher.wake()

    def _commit_by_user(self, item: WorkItem) -> None:
        self._finish(item)
        future = self.membership.submit(
            lambda member: self.committer.commit_now(member, _COMMIT_SECONDS)
        )
        future.result(_COMMIT_SECONDS + 1)

    # MembershipOwner: the membership's thread

    def before_rejoin(self, member: Member) -> None:
        """Let what runs finish, for a while: what leaves would otherwise run twice."""
        if member.membership_lost:
            self._lose(self.ledger.partitions)  # others may have it already
            return
        self._set_status(KafkaStatus.REBALANCING)
        self.lanes.freeze()
        if not self.lanes.wait_until_idle(self._options.run.rebalance_timeout_ms / 1000):
            logger.info("a rebalance begins while %d handlers run", self.lanes.running)

    def on_revoked(self, member: Member, *, membership_lost: bool) -> None:
        """Commit what is finished, while the old generation still may."""
        self.lanes.freeze()
        if membership_lost:
            self._lose(self.ledger.partitions)
            return
        try:
            self.committer.commit_now(member, self._options.run.rebalance_timeout_ms / 1000)
        except CommitFailed as error:
            logger.warning("the commit before a rebalance failed: %s", error)

    def on_assigned(
        self, member: Member, partitions: Collection[TopicPartition], generation: int
    ) -> None:
        """Give up what left, keep what stayed, open what came."""
        logger.info("group %s, generation %d: %s", self._group_id, generation, sorted(partitions))
        self._lose(set(self.ledger.partitions) - set(partitions))
        self.assignments.set(partitions)
        self.lanes.thaw()
        self.assignments.open_missing(member)

    def _lose(self, partitions: Collection[TopicPartition]) -> None:
        for assigned in self._end_epochs(partitions):
            self.fetcher.unassign(assigned.partition)

    def _end_epochs(self, partitions: Collection[TopicPartition]) -> list[AssignedPartition]:
        closed = self.ledger.close(partitions)
        for item in self.lanes.drop(lambda item: item.assigned.lost):
            self._release_room(item)
        return closed

    def on_tick(self, member: Member) -> None:
        self._outage.over()
        self.assignments.open_missing(member)
        if self._options.run.auto_commit:
            self.committer.commit_if_due(member)
        if self.assignments.complete and not self._stopping.is_set():
            self._set_status(KafkaStatus.CONNECTED)

    def on_trouble(self, error: TransportError) -> None:
        if self._outage.trouble(time.monotonic()) and not self._stopping.is_set():
            logger.warning("group %s: %s", self._group_id, error)
            self._set_status(KafkaStatus.DISCONNECTED)

    def on_crash(self, error: BaseException) -> None:
        self._set_status(KafkaStatus.CRASHED)
        self._lose(self.ledger.partitions)
        if isinstance(error, GroupError):
            self._fatal(error)

    def before_leave(self, member: Member) -> None:
        """The final commit; also with manual commits, for those are finished by the user."""
        try:
            self.committer.commit_now(member, _CLOSE_SECONDS)
        except CommitFailed as error:
            logger.warning("the last commit failed: %s; messages are delivered again", error)


def _lane_key(token: AssignedPartition, record: Record, ordering: str) -> Any:
    """The lane of a record; ``None`` for a lane of its own. The epoch is part of it."""
    if ordering == "partition":
        return (token.partition, id(token))
    if ordering == "key" and record.key is not None:
        return (token.partition, id(token), record.key)
    return None
