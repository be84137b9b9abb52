"""What a connected client has: a producer, an admin, and a consumer of replies."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from kafka_patterns.client.pending import PendingRequests
from kafka_patterns.client.replies import ReplyRouter
from kafka_patterns.client.reply_consumer import ReplyConsumer
from kafka_patterns.client.reply_partitions import ReplyPartitions
from kafka_patterns.client.reply_topics import ReplyTopics
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.consuming.outage import Outage
from kafka_patterns.options import KafkaOptions
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.base import Producer, Transport

__all__ = ["Connection"]


class Connection:
    """The connected parts of one client, and the owner of their threads.

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
        self._set_status = set_status
        self._admin = transport.admin()
        self._replies = ReplyConsumer(
            options,
            transport,
            self._admin,
            pending,
            router,
            group_id,
            name,
            set_status,
            self._watch,
        )
        self._outage = Outage()
        self._closing = False
        self.producer: Producer | None = None

    @property
    def partitions(self) -> ReplyPartitions:
        """Which reply partitions requests name."""
        return self._replies.partitions

    @property
    def fetcher(self) -> Fetcher | None:
        """What reads replies, if anything is subscribed to."""
        return self._replies.fetcher

    @property
    def membership(self) -> Membership | None:
        """In a group, what keeps its membership."""
        return self._replies.membership

    def open(self, reply_topics: Mapping[str, str]) -> None:
        """Connect; return when requests can be sent and their replies be read.

        :param reply_topics: each with the topic of its requests.
        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises GroupError: if the group does not accept this client.
        :raises NotAuthorized: if the right to read a reply topic is missing.
        :raises ReplyTopicError: in direct mode, if a reply topic does not exist.
        :raises TransportError: if the group did not settle in time.
        """
        self.check()
        self.producer = self._transport.producer(self._watch_producer)
        self.producer.learn(list(reply_topics.values()))
        if reply_topics and not self._options.producer_only_mode:
            self.subscribe(reply_topics)
        self._set_status(KafkaStatus.CONNECTED)

    def check(self) -> None:
        """Return once a broker answered.

        :raises BrokersUnavailable: if none does within ``client.connection_timeout_ms``.
        """
        self._admin.check_connection(self._options.client.connection_timeout_ms / 1000)

    def subscribe(self, reply_topics: Collection[str]) -> None:
        """Read *reply_topics* too; raises as :meth:`open` does."""
        self._replies.subscribe(reply_topics)

    def ensure_topics(
        self,
        topics: Collection[str],
        partitions: int,
        replication_factor: int | None,
        timeout: float,
    ) -> None:
        """Let each of *topics* exist with so many partitions; see :class:`ReplyTopics`."""
        brokers, deadline = self._options.client.brokers, time.monotonic() + timeout
        made = ReplyTopics(self._admin, brokers, partitions, replication_factor, deadline)
        made.ensure(topics)
        if self.membership is not None:
            self.membership.submit(lambda member: member.refresh_topics())

    def _watch_producer(self, lost: bool) -> None:  # noqa: FBT001
        """Who reads replies knows better: an idle producer may have no connection to lose."""
        if self.fetcher is None:
            self._watch(lost)

    def _watch(self, lost: bool) -> None:  # noqa: FBT001
        if self._closing:
            return
        if not lost:
            if self._outage.over():
                self._set_status(KafkaStatus.CONNECTED)
        elif self._outage.trouble(time.monotonic()):
            self._set_status(KafkaStatus.DISCONNECTED)

    def give_up(self) -> None:
        """From any thread: let a running :meth:`open` end with an error."""
        self._replies.give_up()
        self._admin.interrupt()

    def close(self, timeout: float) -> None:
        """Flush, leave the group, end the threads; all within about *timeout* seconds."""
        deadline = time.monotonic() + timeout
        self._closing = True
        self._replies.give_up()
        if self.producer is not None:
            self.producer.close(timeout)
        self._admin.interrupt()
        self._replies.close(deadline)
        self._admin.close()
