"""``run``: how a server works through what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from kafka_patterns.options.fields import option
from kafka_patterns.options.kinds import (
    INT64_MAX,
    Unchosen,
    choice,
    flag,
    integer,
    live,
    milliseconds,
    optional,
)
from kafka_patterns.options.problems import Rule, require

__all__ = ["RunOptions"]


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a server works through what it reads.

    :param auto_commit: whether finished messages are committed by themselves; if not, by
        `context.commit()`, except those that end without a handler's return.
    :param auto_commit_interval_ms: how often finished messages are committed.
    :param auto_commit_threshold: commits sooner, once so many messages are finished.
    :param workers: threads that run handlers.
    :param ordering: `partition`: one after the other; `key`: messages of one key one after the
        other; `unordered`. `None` is `partition` for events and `key` for requests.
    :param max_in_flight: messages held at most, in equal parts for the partitions; past that,
        reading pauses.
    :param max_in_flight_bytes: bytes held at most, in equal parts for the partitions; of them
        `consumer.max_partition_fetch_bytes` each, and half at most, for what is fetched and waits
        for room. A larger message passes alone.
    :param max_waiting: messages held beside those while they wait for one of their key that is
        tried again, and half as many bytes as `max_in_flight_bytes`; past that, reading pauses.
    :param on_poison: what becomes of a record that cannot be decoded. `hold`: retried for
        ever, its lane waits; `skip`: finished and counted; `stop`: the server stops.
    :param rebalance_timeout_ms: how long handlers of partitions that leave may go on; less
        than half of `consumer.session_timeout_ms`, for a rebalance stops the heartbeat.
    :param stop_timeout_ms: how long a stop waits for handlers, replies and commits.
    :param slow_handler_warning_ms: a handler that runs longer is logged with its stack.
    :param skip_expired: whether requests whose caller waits no longer are finished unhandled.
    :param retry_backoff_ms: the first wait before a failed event is delivered again.
    :param retry_backoff_max_ms: the longest wait before a failed event is delivered again.
    :param allow_reply_topic: a live function of a topic's name: whether replies may go there.
        `None` allows names that end in `.reply`, but no internal topics and none of the
        server's own patterns.
    """

    auto_commit: bool = option(True, flag(), maps_to="commits")
    auto_commit_interval_ms: int = option(
        Unchosen(1_000), milliseconds(), unit="ms", maps_to="commits"
    )
    auto_commit_threshold: int | None = option(None, optional(integer(1)), maps_to="commits")
    workers: int = option(
        8, integer(1, 10_000), alias="partitionsConsumedConcurrently", maps_to="the worker pool"
    )
    ordering: Literal["partition", "key", "unordered"] | None = option(
        None, optional(choice("partition", "key", "unordered")), maps_to="lanes"
    )
    max_in_flight: int = option(1_000, integer(1), maps_to="backpressure")
    max_in_flight_bytes: int = option(
        67_108_864, integer(1, INT64_MAX), unit="bytes", maps_to="backpressure"
    )
    max_waiting: int = option(10_000, integer(1), maps_to="backpressure")
    on_poison: Literal["hold", "skip", "stop"] = option(
        "hold", choice("hold", "skip", "stop"), maps_to="undecodable records"
    )
    rebalance_timeout_ms: int = option(
        Unchosen(5_000),
        milliseconds(),
        unit="ms",
        maps_to="rebalances",
        default_text="5,000, or just under half of `consumer.session_timeout_ms` if that is less",
    )
    stop_timeout_ms: int = option(30_000, milliseconds(), unit="ms", maps_to="`stop()`, SIGTERM")
    slow_handler_warning_ms: int = option(60_000, milliseconds(), unit="ms", maps_to="log")
    skip_expired: bool = option(False, flag(), maps_to="requests with a deadline")
    retry_backoff_ms: int = option(
        Unchosen(300),
        milliseconds(),
        unit="ms",
        maps_to="the waits of redelivery",
        default_text="that of `consumer.retry`, else of `client.retry`: 300",
    )
    retry_backoff_max_ms: int = option(
        Unchosen(30_000),
        milliseconds(),
        unit="ms",
        maps_to="the waits of redelivery",
        default_text="that of `consumer.retry`, else of `client.retry`: 30,000",
    )
    allow_reply_topic: Callable[[str], bool] | None = option(
        None, live("a function of a topic's name"), maps_to="replies"
    )

    def __attrs_post_init__(self) -> None:
        why = "cannot be honoured with auto_commit = False: leave one of the two out"
        interval_is_chosen = not isinstance(self.auto_commit_interval_ms, Unchosen)
        threshold_is_chosen = self.auto_commit_threshold is not None
        require(
            Rule(self.auto_commit or not interval_is_chosen, "auto_commit_interval_ms", why),
            Rule(self.auto_commit or not threshold_is_chosen, "auto_commit_threshold", why),
        )
