"""Reply topics: that they exist and have enough partitions, and the command if not."""

from __future__ import annotations

import time
from collections.abc import Collection

import attrs

from kafka_patterns.errors import ReplyTopicError, TransportError
from kafka_patterns.transport.base import Admin, Unsupported

__all__ = ["ReplyTopics", "topic_command", "why_unfit"]

_RETRY_SECONDS = 0.05
_LEAST_SECONDS = 0.1
_AUTO_CREATION_SECONDS = 1.0


def why_unfit(topic: str, partitions: int, wanted: int, brokers: Collection[str]) -> str:
    """What is wrong with a reply topic, and the command that mends it.

    :param partitions: how many it has; 0 if it does not exist.
    :param wanted: how many it needs.
    """
    if partitions:
        was = f"{partitions} partition{'s' if partitions > 1 else ''}"
        problem = f"the reply topic {topic!r} has {was}, but {wanted} are needed"
        action = "--alter"
    else:
        problem = f"the reply topic {topic!r} does not exist, and the broker does not create it"
        action = "--create"
    command = topic_command(action, topic, str(wanted), brokers)
    return f"{problem}. Call ensure_reply_topics(partitions={wanted}), or run: {command}"


def topic_command(action: str, topic: str, partitions: str, brokers: Collection[str]) -> str:
    """What somebody with the right to it runs in a shell.

    :param action: ``--create`` or ``--alter``.
    """
    return (
        f"kafka-topics.sh --bootstrap-server {','.join(brokers)} {action} --topic {topic} "
        f"--partitions {partitions}"
    )


@attrs.frozen
class ReplyTopics:
    """Creates reply topics that do not exist, and adds partitions to those that have too few.

    :param brokers: the configured addresses, for the command of an error.
    :param partitions: how many each has to have at least.
    :param replication_factor: of those that are created; ``None`` for the brokers' default.
    :param deadline: the monotonic time until which it may take.
    """

    admin: Admin
    brokers: Collection[str]
    partitions: int
    replication_factor: int | None
    deadline: float

    def ensure(self, topics: Collection[str]) -> None:
        """Make *topics* fit.

        :raises ReplyTopicError: if one remains unfit.
        """
        existing = set(self.admin.topics(self._left()))
        for topic in sorted(topics):
            self._await_partitions(topic, self._make(topic, exists=topic in existing))

    def _left(self) -> float:
        return max(_LEAST_SECONDS, self.deadline - time.monotonic())

    def _count(self, topic: str) -> int:
        return len(self.admin.partitions(topic, self._left()) or ())

    def _make(self, topic: str, *, exists: bool) -> float:
        """Ask for what is missing; returns until when to wait for it, in monotonic time."""
        count = self._count(topic) if exists else 0
        try:
            if not exists:
                self.admin.create_topic(
                    topic, self.partitions, self.replication_factor, self._left()
                )
            elif count < self.partitions:
                self.admin.add_partitions(topic, self.partitions, self._left())
        except Unsupported:
            # A question about a topic creates it, if the broker is set up so.
            return min(self.deadline, time.monotonic() + _AUTO_CREATION_SECONDS)
        except TransportError as error:
            raise ReplyTopicError(f"{error}; {self._unfit(topic, count)}") from error
        return self.deadline

    def _await_partitions(self, topic: str, until: float) -> None:
        while (count := self._count(topic)) < self.partitions:
            if time.monotonic() >= until:
                raise ReplyTopicError(self._unfit(topic, count))
            time.sleep(_RETRY_SECONDS)

    def _unfit(self, topic: str, count: int) -> str:
        return why_unfit(topic, count, self.partitions, self.brokers)
