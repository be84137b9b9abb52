"""A value for every option, and ways to put it where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import KafkaOptions
from kafka_patterns.options.fields import Option, walk


class LiveObject:
    """Serializer, deserializer, converter and token provider in one."""

    def serialize(self, payload: object) -> object:
        return payload

    def deserialize(self, record: object) -> object:
        return record

    def get_structure_hook(self, annotation: object) -> object:
        return annotation

    def unstructure(self, value: object) -> object:
        return value

    def token(self) -> str:
        return "a token"


LIVE = LiveObject()
SIGNED_IN = {"mechanism": "plain", "username": "hero", "password": "dragon"}

# A value that is no default for every option, and what it needs beside it in its section.
VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "client.client_id": ("hero", {}),
    "client.brokers": (["a:1", "b:2"], {}),
    "client.ssl": (True, {}),
    "client.ssl.ca_file": ("ca.pem", {}),
    "client.ssl.cert_file": ("cert.pem", {}),
    "client.ssl.key_file": ("key.pem", {"cert_file": "cert.pem"}),
    "client.ssl.key_password": ("dragon", {"cert_file": "cert.pem"}),
    "client.ssl.check_hostname": (False, {}),
    "client.sasl.mechanism": ("SCRAM-SHA-256", SIGNED_IN),
    "client.sasl.username": ("heroine", SIGNED_IN),
    "client.sasl.password": ("wyvern", SIGNED_IN),
    "client.sasl.token_provider": (LIVE, {"mechanism": "oauthbearer"}),
    "client.connection_timeout_ms": (7, {}),
    "client.request_timeout_ms": (7_000, {}),
    "client.retry.initial_retry_time_ms": (7, {}),
    "client.retry.max_retry_time_ms": (7_000, {}),
    "client.retry.multiplier": (1.5, {}),
    "client.retry.retries": (7, {}),
    "client.metadata_max_age_ms": (7, {}),
    "client.api_version": ("2.6.0", {}),
    "client.native": ({"sock_chunk_bytes": 7}, {}),
    "consumer.group_id": ("hero", {}),
    "consumer.session_timeout_ms": (20_000, {}),
    "consumer.heartbeat_interval_ms": (7, {}),
    "consumer.max_poll_interval_ms": (70_000, {}),
    "consumer.metadata_max_age_ms": (7, {}),
    "consumer.max_partition_fetch_bytes": (7, {}),
    "consumer.max_unpacked_bytes": (7, {}),
    "consumer.fetch_min_bytes": (7, {}),
    "consumer.fetch_max_bytes": (7, {}),
    "consumer.fetch_max_wait_ms": (7, {}),
    "consumer.group_instance_id": ("hero-1", {}),
    "consumer.retry.initial_retry_time_ms": (7, {}),
    "consumer.retry.max_retry_time_ms": (7_000, {}),
    "consumer.retry.multiplier": (1.5, {}),
    "consumer.native": ({"check_crcs": False}, {}),
    "run.auto_commit": (False, {}),
    "run.auto_commit_interval_ms": (7, {}),
    "run.auto_commit_threshold": (7, {}),
    "run.workers": (7, {}),
    "run.ordering": ("key", {}),
    "run.max_in_flight": (7, {}),
    "run.max_in_flight_bytes": (7, {}),
    "run.max_waiting": (7, {}),
    "run.on_poison": ("skip", {}),
    "run.rebalance_timeout_ms": (7, {}),
    "run.stop_timeout_ms": (7, {}),
    "run.slow_handler_warning_ms": (7, {}),
    "run.skip_expired": (True, {}),
    "run.retry_backoff_ms": (7, {}),
    "run.retry_backoff_max_ms": (7_000, {}),
    "run.allow_reply_topic": (str.isascii, {}),
    "subscribe.from_beginning": (True, {}),
    "producer.linger_ms": (7, {}),
    "producer.batch_size": (7, {}),
    "producer.max_request_size": (7, {}),
    "producer.buffer_memory": (70_000, {}),
    "producer.metadata_max_age_ms": (7, {}),
    "producer.retries": (7, {}),
    "producer.retry_backoff_ms": (7, {}),
    "producer.max_in_flight_requests_per_connection": (7, {}),
    "producer.native": ({"sock_chunk_bytes": 7}, {}),
    "send.acks": (1, {}),
    "send.timeout_ms": (7, {}),
    "send.compression": ("zstd", {}),
    "reply.mode": ("direct", {}),
    "reply.timeout_ms": (7, {}),
    "reply.max_pending": (7, {}),
    "reply.max_pending_wait_ms": (7, {}),
    "reply.max_unread": (7, {}),
    "reply.inherit_deadline": (False, {}),
    "reply.partition": (7, {"mode": "direct"}),
    "producer_only_mode": (True, {}),
    "postfix_id": ("", {}),
    "serializer": (LIVE, {}),
    "deserializer": (LIVE, {}),
    "converter": (LIVE, {}),
}
OPTIONS: dict[str, Option] = dict(walk(KafkaOptions))
SECTIONS = frozenset(path for path, option in OPTIONS.items() if option.kind.nested)


def mapping_at(path: str, value: Any, beside: dict[str, Any] | None = None) -> dict[str, Any]:
    """Nested mappings that hold *value* at a dotted path, and others beside it."""
    *sections, name = path.split(".")
    nested: dict[str, Any] = {**(beside or {}), name: value}
    for section in reversed(sections):
        nested = {section: nested}
    return nested


def value_at(options: KafkaOptions, path: str) -> Any:
    value: Any = options
    for name in path.split("."):
        value = getattr(value, name)
    return value


def error_of(given_options: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        KafkaOptions.of(given_options)
    return str(raised.value)
