"""``producer``, ``send`` and ``reply``: what goes out, and what comes back to a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from kafka_patterns.options.fields import native_option, option
from kafka_patterns.options.kinds import (
    INT64_MAX,
    Kind,
    Unchosen,
    choice,
    flag,
    integer,
    milliseconds,
    optional,
    unfit,
)
from kafka_patterns.options.problems import Rule, must_be, require

__all__ = ["ProducerOptions", "ReplyOptions", "SendOptions"]

_COMPRESSIONS = (None, "gzip", "snappy", "lz4", "zstd")


def acknowledgements() -> Kind:
    """``"all"`` (or -1), 0 or 1."""
    expects = '"all", -1, 0 or 1'

    def read(value: Any) -> str | int:
        if isinstance(value, str) and value.lower() == "all":
            return "all"
        if isinstance(value, int) and not isinstance(value, bool) and value in (-1, 0, 1):
            return "all" if value == -1 else int(value)
        raise unfit(expects, value)

    def parse(given: str) -> str | int:
        word = given.strip()
        return int(word) if word in ("-1", "0", "1") else word

    return Kind(read, parse)


def compression() -> Kind:
    """The name of a codec, or kafkajs's number for it; stored as the name."""
    expects = 'None, "gzip", "snappy", "lz4", "zstd", or kafkajs\'s number 0 to 4'

    def read(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 4:
            return _COMPRESSIONS[value]
        if isinstance(value, str) and value.lower() == "none":
            return None
        codec = value.lower() if isinstance(value, str) else value
        if codec is None or (isinstance(codec, str) and codec in _COMPRESSIONS):
            return codec
        raise unfit(expects, value)

    return Kind(read, str.strip)


@attrs.frozen(kw_only=True)
class ProducerOptions:
    """How messages are gathered and sent.

    :param linger_ms: how long a message may wait for others to travel with; those of
        several threads wait for each other up to half a millisecond in any case.
    :param batch_size: most bytes of one partition in one batch.
    :param max_request_size: most bytes in one request, and so in one message.
    :param buffer_memory: bytes of messages that may wait to be sent.
    :param metadata_max_age_ms: how old the knowledge of topics and partitions may get.
    :param retries: how often a send is repeated at most that failed on the way; within
        `send.timeout_ms` in any case.
    :param retry_backoff_ms: the wait before a send is repeated.
    :param max_in_flight_requests_per_connection: requests on their way to one broker; of
        each partition there is never more than one, so that a repeated send is not overtaken.
    :param native: settings of kafka-python for the producer; checked against its names.
    """

    linger_ms: int = option(0, milliseconds(0), unit="ms", maps_to="`linger_ms`")
    batch_size: int = option(16_384, integer(1), unit="bytes", maps_to="`batch_size`")
    max_request_size: int = option(
        1_048_576, integer(1), unit="bytes", maps_to="`max_request_size`"
    )
    buffer_memory: int = option(
        33_554_432, integer(1, INT64_MAX), unit="bytes", maps_to="`buffer_memory`"
    )
    metadata_max_age_ms: int = option(
        Unchosen(300_000),
        milliseconds(),
        unit="ms",
        maps_to="`metadata_max_age_ms`",
        default_text="that of `client`: 300,000",
    )
    retries: int = option(
        Unchosen(2_147_483_647),
        integer(0),
        maps_to="`retries`",
        default_text="that of `client.retry`",
    )
    retry_backoff_ms: int = option(100, milliseconds(), unit="ms", maps_to="`retry_backoff_ms`")
    max_in_flight_requests_per_connection: int = option(
        5,
        integer(1),
        alias=("maxInFlightRequestsPerConnection", "maxInFlightRequests"),
        maps_to="`max_in_flight_requests_per_connection`",
    )
    native: Mapping[str, Any] = native_option("kafka-python's producer")

    def __attrs_post_init__(self) -> None:
        require(must_be(self, "buffer_memory", "at least", "batch_size"))


@attrs.frozen(kw_only=True)
class SendOptions:
    """What is asked of the broker for each message.

    :param acks: `all` (or -1): all replicas in sync have it; 1: the leader has it; 0: nobody
        says, so a lost message is not noticed.
    :param timeout_ms: how long until the broker must have the message.
    :param compression: `gzip`, `snappy`, `lz4`, `zstd`, or kafkajs's number of it; `None` for
        none.
    """

    acks: Literal["all", 0, 1] = option("all", acknowledgements(), maps_to="`acks`")
    timeout_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="`emit()`, `send()`, replies"
    )
    compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = option(
        None, compression(), maps_to="`compression_type`"
    )


@attrs.frozen(kw_only=True)
class ReplyOptions:
    """How a client gets its replies.

    :param mode: `group`: the consumer group divides the reply partitions, as NestJS does;
        `direct`: no group, and any number of instances.
    :param timeout_ms: how long a request waits for its reply, unless the call says otherwise.
    :param max_pending: requests that may wait for replies at one time.
    :param max_pending_wait_ms: how long `send()`, `stream()` and `gather()` wait for one of those
        to end, within their own timeout; at 0 they fail at once, as `send_future()` always does.
    :param max_unread: replies to one `stream()` or `gather()` that may wait to be read; past
        that, it ends with an error.
    :param inherit_deadline: whether a request that a handler sends waits no longer than the
        caller of the handler does.
    :param partition: the reply partition of this instance, in `direct` mode only; `None`
        chooses one.
    """

    mode: Literal["group", "direct"] = option(
        "group", choice("group", "direct"), maps_to="the reply consumer"
    )
    timeout_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="`send()`, `send_future()`, `stream()`"
    )
    max_pending: int = option(10_000, integer(1), maps_to="pending requests")
    max_pending_wait_ms: int = option(
        0, milliseconds(0), unit="ms", maps_to="`send()`, `stream()`, `gather()`"
    )
    max_unread: int = option(10_000, integer(1), maps_to="`stream()`, `gather()`")
    inherit_deadline: bool = option(True, flag(), maps_to="requests of handlers")
    partition: int | None = option(None, optional(integer(0)), maps_to="the reply consumer")

    def __attrs_post_init__(self) -> None:
        fits = self.partition is None or self.mode == "direct"
        require(Rule(fits, "partition", 'needs mode = "direct": in a group, the group decides'))
