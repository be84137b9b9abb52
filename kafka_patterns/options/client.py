"""``client``: the connections to the brokers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Any

import attrs

from kafka_patterns.options.brokers import broker_list
from kafka_patterns.options.fields import native_option, option
from kafka_patterns.options.kinds import (
    Kind,
    decimal,
    integer,
    milliseconds,
    optional,
    section,
    text,
    unfit,
)
from kafka_patterns.options.problems import must_be, require, shown
from kafka_patterns.options.security import SaslOptions, SslOptions, ssl_setting

__all__ = ["ClientOptions", "ClientRetryOptions", "RetryOptions"]

_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}")
_FIRST_VERSION_WITH_HEADERS = (0, 11)


@attrs.frozen(kw_only=True)
class RetryOptions:
    """Waits that grow from try to try.

    :param initial_retry_time_ms: the first wait.
    :param max_retry_time_ms: the longest wait.
    :param multiplier: how much longer each wait between two deliveries of a failed event is
        than the one before.
    """

    initial_retry_time_ms: int = option(
        300, milliseconds(), unit="ms", maps_to="the waits of redelivery"
    )
    max_retry_time_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="the waits of redelivery"
    )
    multiplier: float = option(2.0, decimal(1, 100), maps_to="the waits of redelivery")

    def __attrs_post_init__(self) -> None:
        require(must_be(self, "max_retry_time_ms", "at least", "initial_retry_time_ms"))


@attrs.frozen(kw_only=True)
class ClientRetryOptions(RetryOptions):
    """What other sections fall back on.

    Attempts to connect go on for ever, 20 ms to 1 s apart; `client.native` changes that.

    :param initial_retry_time_ms: the first wait between two deliveries of a failed event,
        unless `run` or `consumer.retry` says otherwise.
    :param max_retry_time_ms: the longest wait between two deliveries of a failed event, unless
        `run` or `consumer.retry` says otherwise.
    :param multiplier: how much longer each wait between two deliveries of a failed event is
        than the one before.
    :param retries: how often a send is repeated at most, unless `producer.retries` says
        otherwise; within `send.timeout_ms` in any case. Redelivery goes on for ever.
    """

    initial_retry_time_ms: int = option(
        300, milliseconds(), unit="ms", maps_to="the waits of redelivery"
    )
    max_retry_time_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="the waits of redelivery"
    )
    multiplier: float = option(2.0, decimal(1, 100), maps_to="the waits of redelivery")
    retries: int = option(2_147_483_647, integer(0), maps_to="`producer.retries`")


def api_version() -> Kind:
    """A broker version, stored as a tuple of integers."""
    expects = 'a version as "2.6.0" or (2, 6, 0)'

    def read(value: Any) -> tuple[int, ...]:
        if isinstance(value, str) and _VERSION.fullmatch(value.strip()):
            parts = tuple(int(part) for part in value.split("."))
        elif isinstance(value, (tuple, list)) and 2 <= len(value) <= 4:
            parts = tuple(integer(0, 9_999).read(part) for part in value)
        else:
            raise unfit(expects, value)
        if parts < _FIRST_VERSION_WITH_HEADERS:
            raise ValueError(f"must be 0.11 or later, which has headers, not {shown(value)}")
        return parts

    return Kind(read, str)


@attrs.frozen(kw_only=True)
class ClientOptions:
    """The connections to the brokers.

    :param client_id: names this program in the broker's logs and quotas; `-client` or
        `-server` is appended to it, or `postfix_id`.
    :param brokers: where to begin; the other brokers are learnt from these. A list of
        `"host:port"`, or one text with commas; IPv6 as `"[::1]:9092"`.
    :param ssl: `True` for TLS with the system's authorities, a live `ssl.SSLContext`, or a
        mapping of `client.ssl`.
    :param sasl: how to sign in; a mapping of `client.sasl`.
    :param connection_timeout_ms: how long `connect()` and `start()` wait for a first broker,
        signing in included.
    :param request_timeout_ms: how long a broker may take for an answer.
    :param retry: what other sections fall back on; a mapping of `client.retry`.
    :param metadata_max_age_ms: how old the knowledge of topics and partitions may get, unless
        `consumer` or `producer` says otherwise.
    :param api_version: the brokers' version, `"2.6.0"` or `(2, 6, 0)`; `None` asks a broker
        once per process.
    :param native: settings of kafka-python for all connections; checked against its names.
    """

    client_id: str = option("nestjs-consumer", text(), maps_to="`client_id`")
    brokers: Sequence[str] = option(
        ("localhost:9092",),
        broker_list(),
        maps_to="`bootstrap_servers`",
        default_text='`["localhost:9092"]`',
    )
    ssl: bool | SSLContext | SslOptions = option(
        False, ssl_setting(), maps_to="`security_protocol`, `ssl_context`"
    )
    sasl: SaslOptions | None = option(
        None, optional(section(SaslOptions)), maps_to="`security_protocol`"
    )
    connection_timeout_ms: int = option(
        10_000, milliseconds(), unit="ms", maps_to="`connect()`, `start()`"
    )
    request_timeout_ms: int = option(
        30_000, milliseconds(), unit="ms", maps_to="`request_timeout_ms`"
    )
    retry: ClientRetryOptions = option(
        attrs.Factory(ClientRetryOptions),
        section(ClientRetryOptions),
        maps_to="see `client.retry`",
        default_text="see `client.retry`",
    )
    metadata_max_age_ms: int = option(
        300_000, milliseconds(), unit="ms", maps_to="`metadata_max_age_ms`"
    )
    api_version: tuple[int, ...] | None = option(
        None, optional(api_version()), maps_to="`api_version`"
    )
    native: Mapping[str, Any] = native_option("all kafka-python clients")
