"""From our options to the settings of kafka-python."""

from __future__ import annotations

import difflib
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import ClientOptions, KafkaOptions, SslOptions

__all__ = [
    "answer_timeout_ms",
    "check_native",
    "connection_config",
    "member_config",
    "producer_config",
    "reader_config",
]

_OURS = frozenset(
    {
        "bootstrap_servers",
        "client_id",
        "group_id",
        "enable_auto_commit",
        "auto_offset_reset",
        "partition_assignment_strategy",
        "kafka_client",
        "coordinator",
        "key_serializer",
        "value_serializer",
        "key_deserializer",
        "value_deserializer",
        "partitioner",
        "max_block_ms",
        "consumer_timeout_ms",
    }
)
_GROUP_ANSWER_MARGIN_MS = 10_000
_KEEP_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""In seconds, and how often in vain; where the system lets a program choose them."""
_BACKOFF_MS = 20
_RECONNECT_BACKOFF_MS = 20


def check_native(options: KafkaOptions) -> None:
    """Check ``native`` of each section against the names kafka-python knows.

    :raises ConfigurationError: names the key and the nearest known one.
    """
    consumer = set(KafkaConsumer.DEFAULT_CONFIG)
    producer = set(KafkaProducer.DEFAULT_CONFIG)
    _check("client.native", options.client.native, consumer & producer)
    _check("consumer.native", options.consumer.native, consumer)
    _check("producer.native", options.producer.native, producer)


def _check(path: str, native: Mapping[str, Any], known: set[str]) -> None:
    for key in native:
        if key in _OURS:
            raise ConfigurationError(
                f"{path}.{key} is set by the library itself: use the option of that meaning"
            )
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known - _OURS), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(f"{path}.{key} is not a setting of kafka-python-ng{hint}")


def connection_config(options: KafkaOptions, client_id: str) -> dict[str, Any]:
    """What every connection needs: addresses, timeouts, security."""
    client = options.client
    return {
        "bootstrap_servers": list(client.brokers),
        "client_id": client_id,
        "request_timeout_ms": client.request_timeout_ms,
        "metadata_max_age_ms": client.metadata_max_age_ms,
        "api_version": client.api_version,
        # These pace retries of single steps (a connection not ready yet), not whole attempts:
        # the base's 100 ms would be slept three times before the first record.
        "retry_backoff_ms": _BACKOFF_MS,
        "reconnect_backoff_ms": _RECONNECT_BACKOFF_MS,
        "reconnect_backoff_max_ms": 1_000,
        "socket_options": _socket_options(),
        **_security(client),
        **client.native,
    }


def _socket_options() -> list[tuple[int, int, int]]:
    """No connection is silent for long: a firewall does not forget it, and a dead one is noticed.

    That helps where nothing else does: an answer may take as long as the slowest member of a group.
    """
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ]
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _security(client: ClientOptions) -> dict[str, Any]:
    config: dict[str, Any] = {}
    encrypted = client.ssl is not False and client.ssl is not None
    if encrypted:
        config["ssl_context"] = _ssl_context(client.ssl)
    if client.sasl is not None:
        sasl = client.sasl
        config["sasl_mechanism"] = sasl.mechanism.upper()
        config["sasl_plain_username"] = sasl.username
        config["sasl_plain_password"] = sasl.password
        config["sasl_oauth_token_provider"] = sasl.token_provider
    config["security_protocol"] = ("SASL_" if client.sasl else "") + (
        "SSL" if encrypted else "PLAINTEXT"
    )
    return config


def _ssl_context(option: ssl.SSLContext | SslOptions | bool) -> ssl.SSLContext:  # noqa: FBT001
    if isinstance(option, ssl.SSLContext):
        return option
    if not isinstance(option, SslOptions):
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=option.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"client.ssl.ca_file: {option.ca_file!r} cannot be used: {error}. It has to be a PEM "
            "file with the certificates of the authorities to trust"
        ) from error
    context.check_hostname = option.check_hostname
    if option.cert_file is not None:
        _load_own_certificate(context, option)
    return context


def _load_own_certificate(context: ssl.SSLContext, option: SslOptions) -> None:
    assert option.cert_file is not None
    try:
        # With no passphrase at all OpenSSL would ask for one at the terminal.
        context.load_cert_chain(option.cert_file, option.key_file, option.key_password or "")
    except OSError as error:
        files = " and ".join(repr(file) for file in (option.cert_file, option.key_file) if file)
        raise ConfigurationError(
            f"client.ssl.cert_file: the certificate and key in {files} cannot be used: {error}. "
            "They have to be PEM files that belong together; if the key is encrypted, "
            "client.ssl.key_password has to be its passphrase"
        ) from error


def _fetch_config(options: KafkaOptions) -> dict[str, Any]:
    consumer = options.consumer
    return {
        "metadata_max_age_ms": consumer.metadata_max_age_ms,
        "fetch_min_bytes": consumer.fetch_min_bytes,
        "fetch_max_bytes": consumer.fetch_max_bytes,
        "fetch_max_wait_ms": consumer.fetch_max_wait_ms,
        "max_partition_fetch_bytes": consumer.max_partition_fetch_bytes,
    }


def reader_config(options: KafkaOptions, client_id: str) -> dict[str, Any]:
    """For the consumer that reads; its group settings stay unused."""
    return {
        **connection_config(options, client_id),
        **_fetch_config(options),
        **options.consumer.native,
    }


def member_config(options: KafkaOptions, client_id: str) -> dict[str, Any]:
    """For the consumer that is in the group."""
    consumer = options.consumer
    config = {
        **connection_config(options, client_id),
        **_fetch_config(options),
        "session_timeout_ms": consumer.session_timeout_ms,
        "heartbeat_interval_ms": consumer.heartbeat_interval_ms,
        "max_poll_interval_ms": consumer.max_poll_interval_ms,
        "group_instance_id": consumer.group_instance_id or "",
        "leave_group_on_close": not consumer.group_instance_id,
        **consumer.native,
    }
    # The broker may hold a JoinGroup back until the slowest member came, so its answer is late
    # only after that. Others are after `answer_timeout_ms`.
    config["request_timeout_ms"] = max(
        config["request_timeout_ms"],
        config["session_timeout_ms"] + _GROUP_ANSWER_MARGIN_MS,
        config["max_poll_interval_ms"] + _GROUP_ANSWER_MARGIN_MS,
    )
    config.setdefault("connections_max_idle_ms", config["request_timeout_ms"] + 240_000)
    return config


def answer_timeout_ms(member: Mapping[str, Any], options: KafkaOptions) -> float:
    """When an answer to a member with the settings *member* is late.

    A session without one ends the membership, so that longer patience would be of no use.
    """
    return float(min(options.client.request_timeout_ms, member["session_timeout_ms"]))


def producer_config(options: KafkaOptions, client_id: str) -> dict[str, Any]:
    """For the producer."""
    producer, send = options.producer, options.send
    return {
        **connection_config(options, client_id),
        "request_timeout_ms": min(options.client.request_timeout_ms, send.timeout_ms),
        "metadata_max_age_ms": producer.metadata_max_age_ms,
        "acks": send.acks,
        "compression_type": send.compression,
        "linger_ms": producer.linger_ms,
        "batch_size": producer.batch_size,
        "buffer_memory": producer.buffer_memory,
        "max_request_size": producer.max_request_size,
        "retries": producer.retries,
        "retry_backoff_ms": producer.retry_backoff_ms,
        "max_in_flight_requests_per_connection": producer.max_in_flight_requests_per_connection,
        **producer.native,
    }
