"""``consumer`` and ``subscribe``: membership in the group, and reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from kafka_patterns.options.client import RetryOptions
from kafka_patterns.options.fields import native_option, option
from kafka_patterns.options.kinds import (
    Kind,
    Unchosen,
    flag,
    integer,
    milliseconds,
    optional,
    section,
    text,
    unfit,
)
from kafka_patterns.options.problems import must_be, require

__all__ = ["ConsumerOptions", "SubscribeOptions"]

_INSTANCE_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")


def instance_id() -> Kind:
    """An id as Kafka's brokers accept it for a static member."""
    expects = "1 to 249 letters, digits, dots, underscores or hyphens"

    def read(value: Any) -> str:
        if isinstance(value, str) and _INSTANCE_ID.fullmatch(value):
            return value
        raise unfit(expects, value)

    return Kind(read, str)


def _heartbeat_for(consumer: ConsumerOptions) -> int:
    return max(1, min(3_000, consumer.session_timeout_ms // 3))


def _poll_interval_for(consumer: ConsumerOptions) -> int:
    return max(300_000, consumer.session_timeout_ms)


@attrs.frozen(kw_only=True)
class ConsumerOptions:
    """Membership in the consumer group, and how records are fetched.

    :param group_id: the consumer group; `-client` or `-server` is appended to it, or
        `postfix_id`.
    :param session_timeout_ms: without a heartbeat for so long, a member is dead to the broker.
    :param heartbeat_interval_ms: how often the broker hears from the member; a third of the
        session timeout or less is good.
    :param max_poll_interval_ms: how long the group waits for a member to join again, and how
        long the member's thread may be stuck. Handlers do not count: they may run for hours.
    :param metadata_max_age_ms: how old the knowledge of topics and partitions may get.
    :param max_partition_fetch_bytes: most bytes of one partition in one answer.
    :param max_unpacked_bytes: a compressed batch that unpacks to more is poison.
    :param fetch_min_bytes: the broker answers once it has so many bytes.
    :param fetch_max_bytes: most bytes in one answer.
    :param fetch_max_wait_ms: how long the broker may wait for `fetch_min_bytes`.
    :param group_instance_id: makes this a static member, whose quick restart causes no
        rebalance. Each live instance needs one of its own.
    :param retry: waits between two deliveries of a failed event, where `run` does not say
        otherwise; by default those of `client.retry`. A mapping of `consumer.retry`.
    :param native: settings of kafka-python for consumers; checked against its names.
    """

    group_id: str = option("nestjs-group", text(), maps_to="`group_id`")
    session_timeout_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="`session_timeout_ms`"
    )
    heartbeat_interval_ms: int = option(
        attrs.Factory(_heartbeat_for, takes_self=True),
        milliseconds(),
        unit="ms",
        maps_to="`heartbeat_interval_ms`",
        default_text="3,000, or a third of `session_timeout_ms` if that is less",
    )
    max_poll_interval_ms: int = option(
        attrs.Factory(_poll_interval_for, takes_self=True),
        milliseconds(),
        unit="ms",
        alias=("maxPollInterval", "rebalanceTimeout"),
        maps_to="`max_poll_interval_ms`",
        default_text="300,000, or `session_timeout_ms` if that is more",
    )
    metadata_max_age_ms: int = option(
        Unchosen(300_000),
        milliseconds(),
        unit="ms",
        maps_to="`metadata_max_age_ms`",
        default_text="that of `client`: 300,000",
    )
    max_partition_fetch_bytes: int = option(
        1_048_576,
        integer(1),
        unit="bytes",
        alias=("maxPartitionFetchBytes", "maxBytesPerPartition"),
        maps_to="`max_partition_fetch_bytes`",
    )
    max_unpacked_bytes: int = option(
        67_108_864, integer(1), unit="bytes", maps_to="reading compressed batches"
    )
    fetch_min_bytes: int = option(
        1,
        integer(1),
        unit="bytes",
        alias=("fetchMinBytes", "minBytes"),
        maps_to="`fetch_min_bytes`",
    )
    fetch_max_bytes: int = option(
        10_485_760,
        integer(1),
        unit="bytes",
        alias=("fetchMaxBytes", "maxBytes"),
        maps_to="`fetch_max_bytes`",
    )
    fetch_max_wait_ms: int = option(
        500,
        milliseconds(),
        unit="ms",
        alias=("fetchMaxWait", "maxWaitTimeInMs"),
        maps_to="`fetch_max_wait_ms`",
    )
    group_instance_id: str | None = option(
        None, optional(instance_id()), maps_to="`group_instance_id`"
    )
    retry: RetryOptions | None = option(
        None, optional(section(RetryOptions)), maps_to="see `consumer.retry`"
    )
    native: Mapping[str, Any] = native_option("kafka-python's consumers")

    def __attrs_post_init__(self) -> None:
        a_third = "; a third of it or less is good"
        require(
            must_be(self, "heartbeat_interval_ms", "less than", "session_timeout_ms", a_third),
            must_be(self, "max_poll_interval_ms", "at least", "session_timeout_ms"),
            must_be(self, "fetch_min_bytes", "at most", "fetch_max_bytes"),
        )


@attrs.frozen(kw_only=True)
class SubscribeOptions:
    """Where reading begins.

    :param from_beginning: whether a group without a committed offset begins with the oldest
        record, instead of those that come from now on.
    """

    from_beginning: bool = option(False, flag(), maps_to="the start position of a partition")
