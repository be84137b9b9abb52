"""What a connected client has: producer, fetcher, and a membership if a group divides replies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from functools import partial

from kafka_patterns.client.assignor import ReplyAssignmentPolicy
from kafka_patterns.client.pending import PendingRequests
from kafka_patterns.client.replies import ReplyRouter
from kafka_patterns.client.reply_partitions import ReplyPartitions
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.consuming.outage import Outage
from kafka_patterns.consuming.topics import find_missing_topics
from kafka_patterns.errors import ClientClosed, GroupError, TransportError
from kafka_patterns.message import TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.base import LATEST, Member, Producer, Transport

__all__ = ["Connection"]

logger = logging.getLogger("kafka_patterns.client")

_LOOKUP_SECONDS = 5.0
_TOPIC_PATIENCE_SECONDS = 3.0
_JOIN_MARGIN_SECONDS = 30.0
_WAIT_SLICE_SECONDS = 0.1


class Connection:
    """The connected parts of one client, and the owner of their threads.

    It is also the membership's owner: the group's decisions go to the reply partitions.

    :param router: given the replies.
    :param set_status: told of every change.
    """

    def __init__(
        self,
        options: KafkaOptions,
        transport: Transport,
        pending: PendingRequests,
        router: ReplyRouter,
        group_id: str,
        name: str,
        set_status: Callable[[KafkaStatus], None],
    ) -> None:
        self._options = options
        self._transport = transport
        self._group_id = group_id
        self._name = name
        self._set_status = set_status
        self._admin = transport.admin()
        self._outage = Outage()
        self._closing = threading.Event()
        self._router = router
        self.partitions = ReplyPartitions(self, pending, group_id)
        self.producer: Producer | None = None
        self.fetcher: Fetcher | None = None
        self.membership: Membership | None = None

    def open(self, reply_topics: Collection[str]) -> None:
        """Connect; return when requests can be sent and their replies be read.

        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises GroupError: if the group does not accept this client.
        :raises TransportError: if the group did not settle in time.
        """
        self._admin.check_connection(self._options.client.connection_timeout_ms / 1000)
        self.producer = self._transport.producer()
        if reply_topics and not self._options.producer_only_mode:
            self._start_reading(reply_topics)
        self._set_status(KafkaStatus.CONNECTED)

    def _start_reading(self, reply_topics: Collection[str]) -> None:
        _, missing = find_missing_topics(
            self._admin, reply_topics, _TOPIC_PATIENCE_SECONDS, self._closing.wait
        )
        if missing:
            logger.warning(
                "these reply topics do not exist and the broker does not create them: %s",
                ", ".join(sorted(missing)),
            )
        for topic in reply_topics:
            self.partitions.subscribe(topic)
        self.fetcher = Fetcher(
            self._transport.reader, self._router, self._admin, f"{self._name}-fetcher"
        )
        self.fetcher.start()
        if self._options.reply.mode == "direct":
            self.partitions.assign({topic: [self._choose(topic)] for topic in reply_topics})
        else:
            self._join(reply_topics)
        self._wait_until_settled()

    def _join(self, reply_topics: Collection[str]) -> None:
        policy = ReplyAssignmentPolicy(self.partitions.named)
        self.membership = Membership(
            lambda listener: self._transport.member(self._group_id, reply_topics, policy, listener),
            self,
            f"{self._name}-member",
        )
        self.membership.start()

    def _choose(self, topic: str) -> int:
        """In direct mode: the configured partition, or one that differs between instances."""
        known = self._admin.partitions(topic, _LOOKUP_SECONDS)
        if not known:
            raise TransportError(f"the reply topic {topic!r} does not exist: create it first")
        wanted = self._options.reply.partition
        if wanted is None:
            return sorted(known)[id(self) // 64 % len(known)]
        if wanted not in known:
            raise TransportError(
                f"reply.partition is {wanted}, but the reply topic {topic!r} has only the "
                f"partitions 0 to {len(known) - 1}"
            )
        return wanted

    def _wait_until_settled(self) -> None:
        session_seconds = self._options.consumer.session_timeout_ms / 1000
        deadline = time.monotonic() + session_seconds + _JOIN_MARGIN_SECONDS
        while not self.partitions.wait_until_settled(_WAIT_SLICE_SECONDS):
            if self._closing.is_set():
                raise ClientClosed("the client was closed while it connected")
            if self.membership is not None and not self.membership.alive:
                failure = self.membership.failure
                raise failure or TransportError("the group membership ended while it joined")
            if time.monotonic() > deadline:
                raise TransportError(
                    f"group {self._group_id!r} did not settle within "
                    f"{session_seconds + _JOIN_MARGIN_SECONDS:g} s: the reply topics "
                    f"{', '.join(self.partitions.subscribed)} may not exist, or their leaders "
                    "do not answer"
                )
            self.partitions.open_wanted()

    def give_up(self) -> None:
        """From any thread: let a running :meth:`open` end with an error."""
        self._closing.set()
        self._admin.interrupt()

    def close(self, timeout: float) -> None:
        """Flush, leave the group, end the threads; all within about *timeout* seconds."""
        deadline = time.monotonic() + timeout
        self._closing.set()
        if self.producer is not None:
            self.producer.close(timeout)
        self._admin.interrupt()
        if self.membership is not None:
            self.membership.stop(max(0.1, deadline - time.monotonic()))
        if self.fetcher is not None and not self.fetcher.stop(
            max(0.5, deadline - time.monotonic())
        ):
            logger.warning("the thread %s-fetcher did not end in time", self._name)
        self._admin.close()
        self.partitions.forget()

    # PartitionReader

    def read_from_end(
        self, partitions: Collection[TopicPartition], reading: Callable[[TopicPartition], None]
    ) -> Collection[TopicPartition]:
        assert self.fetcher is not None
        ends = self._admin.offsets(dict.fromkeys(partitions, LATEST), _LOOKUP_SECONDS)
        for partition, offset in ends.items():
            self.fetcher.assign(partition, offset, reading=partial(reading, partition))
        return [partition for partition in partitions if partition not in ends]

    def stop_reading(self, partition: TopicPartition) -> None:
        assert self.fetcher is not None
        self.fetcher.unassign(partition)

    # MembershipOwner

    def before_rejoin(self, member: Member) -> None:
        """Nothing waits for a rebalance here: reading goes on."""

    def on_revoked(self, member: Member, *, membership_lost: bool) -> None:
        if self.partitions.settled:
            self._set_status(KafkaStatus.REBALANCING)

    def on_assigned(
        self, member: Member, partitions: Collection[TopicPartition], generation: int
    ) -> None:
        assignment: dict[str, list[int]] = {}
        for topic, partition in partitions:
            assignment.setdefault(topic, []).append(partition)
        logger.info("group %s, generation %d: %s", self._group_id, generation, assignment)
        self.partitions.assign(assignment)

    def on_tick(self, member: Member) -> None:
        self._outage.over()
        self.partitions.open_wanted()
        if self.partitions.settled and not self._closing.is_set():
            self._set_status(KafkaStatus.CONNECTED)

    def on_trouble(self, error: TransportError) -> None:
        if self._outage.trouble(time.monotonic()) and not self._closing.is_set():
            logger.warning("group %s: %s", self._group_id, error)
            self._set_status(KafkaStatus.DISCONNECTED)

    def on_crash(self, error: BaseException) -> None:
        if isinstance(error, GroupError):
            logger.error("%s", error)
        self._set_status(KafkaStatus.CRASHED)

    def before_leave(self, member: Member) -> None:
        """Replies are not committed: a client that starts anew reads from the end."""
