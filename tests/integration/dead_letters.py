"""Dead letters as Spring writes them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from tests.integration.wire import Wire

__all__ = ["produce_dead_letter"]


def produce_dead_letter(
    wire: Wire,
    topic: str,
    value: bytes | None,
    *,
    original_topic: str | None,
    original_partition: int = 0,
    original_offset: int = 0,
    group: str | None = None,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    partition: int = 0,
) -> int:
    """Write a dead letter; returns its offset."""
    added: list[tuple[str, bytes]] = []
    if original_topic is not None:
        added += [
            ("kafka_dlt-original-topic", original_topic.encode()),
            ("kafka_dlt-original-partition", original_partition.to_bytes(4, "big")),
            ("kafka_dlt-original-offset", original_offset.to_bytes(8, "big")),
            ("kafka_dlt-original-timestamp", (1_700_000_000_000).to_bytes(8, "big")),
        ]
    if group is not None:
        added.append(("kafka_dlt-original-consumer-group", group.encode()))
    added += [
        ("kafka_dlt-exception-fqcn", b"builtins.ValueError"),
        ("kafka_dlt-exception-message", "zu groß".encode()),
        ("kafka_dlt-exception-stacktrace", b"Traceback ..."),
    ]
    return wire.produce(topic, value, key=key, headers=[*headers, *added], partition=partition)
