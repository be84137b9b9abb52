"""What a handler may ask and do beside its payload."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.errors import PartitionLost
from kafka_patterns.message import IncomingMessage
from kafka_patterns.server.deferral import Acknowledgement

__all__ = ["KafkaContext"]


@attrs.frozen(kw_only=True, eq=False)
class KafkaContext:
    """The message a handler works on, and its way to Kafka.

    :param topic: where the message came from.
    :param partition: its partition.
    :param message: the message, parsed and raw; of a batch, the first one.
    :param messages: all messages of a batch; otherwise the one.
    :param pattern: the pattern of the handler.
    :param handler: the name of the handler.
    :param consumer: a thread-safe face of the consumer.
    :param producer: a thread-safe face of the producer.
    :param attempt: 1 at the first delivery, counting those a retry header tells of.
    :param correlation_id: of a request: text, or bytes if it is no text; ``None`` for events.
    :param deadline: when the caller stops waiting, in seconds since 1970, or ``None``.
    :param expects_reply: whether what the handler returns is sent.
    """

    topic: str
    partition: int
    message: IncomingMessage
    messages: tuple[IncomingMessage, ...]
    pattern: str
    handler: str
    consumer: ConsumerDriver
    producer: ProducerDriver
    attempt: int
    correlation_id: str | bytes | None
    deadline: float | None
    expects_reply: bool
    _is_lost: Callable[[], bool]
    _commit: Callable[[], object]
    _defer: Callable[[], Acknowledgement]

    def heartbeat(self) -> None:
        """Check that the partition is still ours. Not needed to stay in the group.

        :raises PartitionLost: if it went to another member meanwhile; what this handler does
            from here on is done there again.
        """
        if self._is_lost():
            raise PartitionLost(
                f"partition {self.partition} of {self.topic!r} went to another member: message "
                f"{self.message.offset} is delivered again there"
            )

    def commit(self) -> None:
        """This message is finished: commit what is finished without a gap, and wait for it.

        With ``run.auto_commit`` on this merely commits earlier. From any thread.

        :raises PartitionLost: if the partition went to another member meanwhile.
        :raises CommitFailed: if the broker did not take it.
        """
        self.heartbeat()
        self._commit()

    def defer(self) -> Acknowledgement:
        """Finish this message later: what the handler returns is dropped.

        Another thread then calls ``done(reply)`` or ``failed(exception)`` of what this returns,
        once. Until then the message counts as in flight, and its lane waits. If the handler
        raises after all, that counts.
        """
        return self._defer()


def read_correlation_id(raw: bytes | None) -> str | bytes | None:
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
