"""Later tries from topics of their own, so that nothing waits behind a failing message. Pure.

The headers are those of Spring's retry topics, in its encodings: the attempt as 4 bytes, times
in milliseconds since 1970 as the fewest bytes of a signed number, all big-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kafka_patterns import headers
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.dead_letter import class_name
from kafka_patterns.failures.letter import Letter
from kafka_patterns.failures.origin import origin_headers
from kafka_patterns.failures.policy import ExceptionTypes, Retry, exception_types
from kafka_patterns.message import EncodedMessage, HeaderPairs, Record
from kafka_patterns.patterns import validate_topic_name

__all__ = ["RetryTopics", "original", "seconds_until_due"]

_LONGEST_NUMBER = 8


def _delays(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


@attrs.frozen(kw_only=True)
class RetryTopics:
    """Later tries of an event, each from a topic of its own; the others go on meanwhile.

    The topics are ``<topic>-<group>-retry-1`` and so on: the group stands in the name, so that
    two services on one topic do not read each other's. The order of a key or partition is not
    kept. After the last try the event becomes a dead letter.

    :param delays: seconds before each try after the first; none comes early.
    :param on: the only exception types to try again after; all, if none is given.
    :param unless: exception types not to try again after.
    :param retry_if: asked last: whether to try again after this exception.
    :param create: whether topics that are missing are created at the start, with as many
        partitions as the handler's topic has.
    :raises ConfigurationError: for a delay that is none, or a type that is no exception.
    """

    delays: tuple[float, ...] = attrs.field(default=(1, 10, 60), converter=_delays)
    on: ExceptionTypes = attrs.field(default=(), converter=exception_types)
    unless: ExceptionTypes = attrs.field(default=(), converter=exception_types)
    retry_if: Callable[[Any], bool] | None = None
    create: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.delays:
            raise ConfigurationError(f"RetryTopics.delays {self.delays!r} is no list of seconds")
        delay: Any
        for delay in self.delays:
            if type(delay) not in (int, float) or not 0 <= delay < math.inf:
                raise ConfigurationError(f"RetryTopics.delays: {delay!r} is not a time from 0")
        self.policy()

    def policy(self) -> Retry:
        """The same as a policy; its attempts are one more than there are topics."""
        return Retry(
            max_attempts=len(self.delays) + 1,
            backoff=lambda failures: self.delays[failures - 1],
            on=self.on,
            unless=self.unless,
            retry_if=self.retry_if,
        )

    def topics(self, topic: str, group: str) -> list[str]:
        """The topics of the later tries.

        :raises ConfigurationError: if a name would be no legal one.
        """
        names = [
            f"{topic}-{group}{headers.RETRY_TOPIC_MARK}{number}"
            for number in range(1, len(self.delays) + 1)
        ]
        for name in names:
            validate_topic_name(name)
        return names

    def letter(
        self,
        record: Record,
        error: BaseException,
        *,
        topic: str,
        attempt: int,
        due: float,
        group: str,
    ) -> Letter:
        """*record*, as it was in its first topic, on its way to *topic*.

        :param attempt: of the try that failed, from 1.
        :param due: when it is tried again, in seconds since 1970.
        :param group: the group that tries it.
        """
        added = [
            *origin_headers(record, group, headers.RETRY_ORIGIN),
            *_schedule(record, attempt + 1, due),
            *_failure(error),
        ]
        message = EncodedMessage(
            value=record.value,
            key=record.key,
            headers=[*record.headers, *added],
            partition=record.partition,
            partition_is_wish=True,
        )
        return Letter(topic, (message,), "sent_to_retry_topics")


def _schedule(record: Record, attempt: int, due: float) -> HeaderPairs:
    return [
        (headers.RETRY_ATTEMPTS, struct.pack(">i", attempt)),
        (headers.RETRY_FIRST_TIMESTAMP, _number(record.timestamp)),
        (headers.RETRY_DUE_TIMESTAMP, _number(math.ceil(due * 1000))),
    ]


def _failure(error: BaseException) -> HeaderPairs:
    return [(headers.RETRY_EXCEPTION_FQCN, class_name(error).encode())]


def _number(value: int) -> bytes:
    """As Java's ``BigInteger.toByteArray``: the fewest bytes, with a sign bit."""
    return value.to_bytes(
        (value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True
    )


def seconds_until_due(record: Record, now: float, longest: float) -> float:
    """How long *record* of a retry topic must still wait, at most *longest* seconds.

    :param now: seconds since 1970.
    """
    raw = record.header(headers.RETRY_DUE_TIMESTAMP)
    if not raw or len(raw) > _LONGEST_NUMBER:
        return 0.0
    return min(max(0.0, int.from_bytes(raw, "big", signed=True) / 1000 - now), longest)


def original(record: Record, topic: str) -> Record:
    """A record of a retry topic as it was in *topic*, its first one."""
    found = {name: _last(record.headers, name) for name in headers.RETRY_ADDED_NAMES}
    try:
        (partition,) = struct.unpack(">i", found[headers.RETRY_ORIGINAL_PARTITION])
        (offset,) = struct.unpack(">q", found[headers.RETRY_ORIGINAL_OFFSET])
        (timestamp,) = struct.unpack(">q", found[headers.RETRY_ORIGINAL_TIMESTAMP])
    except struct.error:
        return record._replace(topic=topic)  # somebody else wrote it there
    by_broker = found[headers.RETRY_ORIGINAL_TIMESTAMP_TYPE] == headers.TIMESTAMP_TYPES[1].encode()
    return record._replace(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        headers=_without_last(record.headers, headers.RETRY_ADDED_NAMES),
        timestamp_type=int(by_broker),
    )


def _last(pairs: HeaderPairs, name: str) -> bytes:
    return next((value or b"" for found, value in reversed(pairs) if found == name), b"")


def _without_last(pairs: HeaderPairs, names: Iterable[str]) -> HeaderPairs:
    """*pairs* without the last of each of *names*: a sender's own header of that name stays."""
    left = set(names)
    kept: HeaderPairs = []
    for pair in reversed(pairs):
        if pair[0] in left:
            left.discard(pair[0])
        else:
            kept.append(pair)
    return kept[::-1]
