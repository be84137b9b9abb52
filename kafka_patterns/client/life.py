"""A client's life: options and names, connecting and closing, status, drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cattrs import Converter

from kafka_patterns.client.connection import Connection
from kafka_patterns.client.correlation_ids import CorrelationIds, Origin
from kafka_patterns.client.counts import RequestCounts
from kafka_patterns.client.health import ClientHealth, observe
from kafka_patterns.client.pending import PendingRequests
from kafka_patterns.client.replies import ReplyRouter
from kafka_patterns.client.requests import RequestWriter
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.life import Life
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import ClientClosed, ConfigurationError, NotConnected
from kafka_patterns.message import EncodedMessage, TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.patterns import reply_topic
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.status import KafkaStatus
from kafka_patterns.synchronous import refuse_async
from kafka_patterns.transport.loading import load_transport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClientLife", "bounded"]

_CLOSE_SECONDS = 10.0
_LONGEST_SECONDS = 1_000_000_000


class ClientLife(Life):
    """What a client is beside its requests and events."""

    role_postfix = "-client"

    def __init__(self, options: Mapping[str, Any] | KafkaOptions | None = None) -> None:
        super().__init__(options)
        refuse_async(self.get_response_pattern_name, "the method")
        self._writer = RequestWriter(self._serialization)
        self._reply_topics: dict[str, str] = {}  # to the pattern whose replies come there

    def _begin(self) -> None:
        super()._begin()
        self._timers = Timers(f"{self._name}-deadlines")
        self._ids = CorrelationIds()
        self._counts = RequestCounts()
        self._read = Counters()
        self._pending = PendingRequests(self.options.reply.max_pending, self._partition_idle)
        self._connection: Connection | None = None
        self._opening: Connection | None = None
        self._closed = False

    def _what_is_open(self) -> Any:
        return (self._connection, self._opening, self._pending, self._timers)

    def get_response_pattern_name(self, pattern: str) -> str:
        """The reply topic of a pattern: ``<pattern>.reply``; override it to use another."""
        return reply_topic(pattern)

    def use_serializers(
        self,
        pattern: Any,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        converter: Converter | None = None,
    ) -> None:
        """Give *pattern* a serializer for requests and events, a deserializer for replies.

        :param converter: a cattrs converter that makes what ``returns=`` asks for of replies, and
            where no serializer is given plain data of payloads.
        :raises ConfigurationError: if an object lacks the method, or it is asynchronous.
        """
        topic = self._writer.topic(pattern)
        self._serialization.use(topic, serializer, deserializer, converter)

    # Lifecycle

    def connect(self) -> Self:
        """Connect, and return when requests can be sent. Idempotent; also after ``close``.

        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises GroupError: if the consumer group does not accept this client.
        """
        with self._lifecycle:
            if self._connection is None:
                self._closed = False
                self._callbacks.reopen()
                self._connection = self._open()
                self._close_at_exit()
            return self

    def _make_connection(self) -> Connection:
        return Connection(
            self.options,
            load_transport(self.options, self.client_id),
            self._pending,
            ReplyRouter(self._pending, self._ids, self._read, self._reply_strayed),
            self.group_id,
            self._name,
            self._status.set,
        )

    def _reply_strayed(self, topic: str, origin: Origin) -> None:
        self._counts.strayed(self._reply_topics.get(topic, topic), origin)

    def _open(self) -> Connection:
        connection = self._opening = self._make_connection()
        try:
            connection.open(self._reply_topics)
        except BaseException:
            self._status.set(KafkaStatus.DISCONNECTED)
            connection.close(1.0)
            raise
        finally:
            self._opening = None
        return connection

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Flush, end every pending request with ``ClientClosed``, leave the group. Idempotent.

        :param timeout: seconds it may take at most, also when the broker is gone.
        """
        self._closed = True
        opening = self._opening
        if opening is not None:
            opening.give_up()  # connect() in another thread holds the lock until it ends
        with self._lifecycle:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is None:
                return
            self._not_at_exit()
            for slot in self._pending.remove_all():
                slot.fail(ClientClosed("the client was closed before the reply came"))
            connection.close(timeout)
            self._status.set(KafkaStatus.STOPPED)
            self._timers.close(1.0)
            self._callbacks.close(1.0)

    def _close_within(self, seconds: float) -> None:
        self.close(seconds)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None:
            return connection
        with self._lifecycle:
            if self._closed:
                raise ClientClosed("the client is closed: connect() opens it again")
            self.connect()
            assert self._connection is not None
            return self._connection

    def health(self) -> ClientHealth:
        """How the client fares: its connection, and what became of its requests so far."""
        return observe(self._connection, self._status.current, self._counts, self._read)

    # Drivers

    @property
    def producer(self) -> ProducerDriver:
        """A thread-safe face of the producer.

        :raises NotConnected: before ``connect``.
        """
        producer = self._producer(self._connection)
        return ProducerDriver(producer, self._encode_for_topic, self._send_timeout(None))

    @property
    def consumer(self) -> ConsumerDriver:
        """A thread-safe face of the consumer.

        :raises NotConnected: before ``connect``, or if there is none.
        """
        connection = self._connection
        if connection is None or connection.fetcher is None:
            raise NotConnected(
                "there is no consumer: call connect() first, after subscribe_to_response_of()"
            )
        return ConsumerDriver(connection.membership, connection.fetcher)

    def unwrap(self) -> tuple[Any, Any, Any]:
        """kafka-python's own objects: producer, member and fetcher (``None`` where absent).

        :raises NotConnected: before ``connect``.
        """
        connection = self._connection
        producer = self._producer(connection).unwrap()
        assert connection is not None
        if connection.fetcher is None:
            return (producer, None, None)
        return (producer, *self.consumer.unwrap())

    def _partition_idle(self, partition: TopicPartition) -> None:
        connection = self._connection
        if connection is not None:
            connection.partitions.partition_idle(partition)

    def _send_timeout(self, timeout: float | None) -> float:
        return self.options.send.timeout_ms / 1000 if timeout is None else bounded(timeout)

    def _producer(self, connection: Connection | None) -> Any:
        if connection is None or connection.producer is None:
            raise NotConnected("the client is not connected: call connect() first")
        return connection.producer

    def _encode_for_topic(self, topic: str, payload: Any) -> EncodedMessage:
        return self._writer.event(self._writer.topic(topic), payload)


def bounded(timeout: float) -> float:
    """*timeout*, if a thread can wait that long.

    :raises ConfigurationError: if not.
    """
    if not timeout <= _LONGEST_SECONDS:
        raise ConfigurationError(
            f"timeout={timeout!r}: at most {_LONGEST_SECONDS:,} seconds, no call waits for ever"
        )
    return timeout
