"""What a handler may ask and do beside its payload."""

from __future__ import annotations

from typing import Protocol

import attrs

from kafka_patterns import headers
from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.errors import PartitionLost
from kafka_patterns.failures.attempts import attempts_before, attempts_in_other_topics
from kafka_patterns.message import IncomingMessage, Record
from kafka_patterns.server.deferral import Acknowledgement

__all__ = ["KafkaContext"]


class Delivery(Protocol):
    """What a context tells of: one call of one handler."""

    @property
    def record(self) -> Record: ...

    @property
    def pattern(self) -> str: ...

    @property
    def handler_name(self) -> str: ...

    @property
    def expects_reply(self) -> bool: ...

    @property
    def consumer(self) -> ConsumerDriver: ...

    @property
    def producer(self) -> ProducerDriver: ...

    @property
    def message(self) -> IncomingMessage: ...

    @property
    def messages(self) -> tuple[IncomingMessage, ...]: ...

    @property
    def tries(self) -> int: ...

    @property
    def is_lost(self) -> bool: ...

    @property
    def is_deferred(self) -> bool: ...

    def commit(self) -> bool: ...

    def defer(self) -> Acknowledgement: ...


@attrs.define(eq=False, repr=False)
class KafkaContext:
    """The message a handler works on, and its way to Kafka.

    What it tells is read from the message when it is asked for: few handlers ask for all of it.

    :ivar handled_before: whether :meth:`mark_handled_before` was called.
    """

    _delivery: Delivery
    handled_before: bool = attrs.field(default=False, init=False)

    def __repr__(self) -> str:
        message = self._delivery.record
        return f"<KafkaContext {message.topic}[{message.partition}] offset {message.offset}>"

    @property
    def topic(self) -> str:
        """Where the message came from."""
        return self._delivery.record.topic

    @property
    def partition(self) -> int:
        """Its partition."""
        return self._delivery.record.partition

    @property
    def message(self) -> IncomingMessage:
        """The message, parsed and raw; of a batch, the first one."""
        return self._delivery.message

    @property
    def messages(self) -> tuple[IncomingMessage, ...]:
        """All messages of a batch; otherwise the one."""
        return self._delivery.messages

    @property
    def pattern(self) -> str:
        """The pattern of the handler."""
        return self._delivery.pattern

    @property
    def handler(self) -> str:
        """The name of the handler."""
        return self._delivery.handler_name

    @property
    def consumer(self) -> ConsumerDriver:
        """A thread-safe face of the consumer."""
        return self._delivery.consumer

    @property
    def producer(self) -> ProducerDriver:
        """A thread-safe face of the producer."""
        return self._delivery.producer

    @property
    def attempt(self) -> int:
        """1 at the first delivery, counting those a retry header tells of."""
        before = attempts_in_other_topics(self._delivery.record)
        if before is None:
            before = attempts_before(self.message.headers)
        return self._delivery.tries + before

    @property
    def correlation_id(self) -> str | bytes | None:
        """Of a request: text, or bytes if it is no text; ``None`` for events."""
        return read_id(self._delivery.record.header(headers.CORRELATION_ID))

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, in seconds since 1970, or ``None``.

        Requests that the handler sends wait no longer.
        """
        return read_deadline(self._delivery.record.header(headers.DEADLINE))

    @property
    def idempotency_key(self) -> str | bytes | None:
        """What the sender gave as ``idempotency_key=``: text, or bytes if it is no text."""
        return read_id(self._delivery.record.header(headers.IDEMPOTENCY_KEY))

    @property
    def expects_reply(self) -> bool:
        """Whether what the handler returns is sent."""
        return self._delivery.expects_reply

    @property
    def is_deferred(self) -> bool:
        """Whether :meth:`defer` was called."""
        return self._delivery.is_deferred

    def heartbeat(self) -> None:
        """Check that the partition is still ours. Not needed to stay in the group.

        :raises PartitionLost: if it went to another member meanwhile; what this handler does
            from here on is done there again.
        """
        if self._delivery.is_lost:
            raise PartitionLost(
                f"partition {self.partition} of {self.topic!r} went to another member: message "
                f"{self.message.offset} is delivered again there"
            )

    def commit(self) -> None:
        """This message is finished: commit what is finished without a gap, and wait for it.

        Of a batch, all its messages. With ``run.auto_commit`` on this merely commits earlier. From
        any thread.

        :raises PartitionLost: if the partition went to another member meanwhile.
        :raises CommitFailed: if the broker did not take it.
        :raises NotConnected: if the server has stopped.
        """
        self.heartbeat()
        if not self._delivery.commit():
            self.heartbeat()  # it was lost in between, and says so

    def mark_handled_before(self) -> None:
        """For wrappers of handlers that do not call what they wrap, such as ``@idempotent``.

        The message is finished when they return, also with ``run.auto_commit`` off.
        """
        self.handled_before = True

    def defer(self) -> Acknowledgement:
        """Finish this message later: what the handler returns is dropped.

        Another thread then calls ``done(reply)`` or ``failed(exception)`` of what this returns,
        once. Until then the message counts as in flight, and its lane waits. If the handler
        raises after all, that counts.

        :raises ConfigurationError: for a batch.
        :raises KafkaPatternsError: if the handler has returned.
        """
        return self._delivery.defer()


def read_id(raw: bytes | None) -> str | bytes | None:
    """Text where it is text; the bytes of a binary id (Spring sends 16) as they are."""
    if raw is None or raw[:1] == b"\x00":
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def read_deadline(raw: bytes | None) -> float | None:
    """The caller's deadline in seconds since 1970; ``None`` if the header makes no sense."""
    if raw is None or not raw.isdigit() or len(raw) > 16:
        return None
    return int(raw) / 1000
