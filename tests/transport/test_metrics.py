"""The base's metrics: off, unless somebody gave it a reporter."""

from __future__ import annotations

from typing import Any

from kafka.metrics.metrics_reporter import AbstractMetricsReporter

from kafka_patterns.message import TopicPartition
from tests.transport.parts import Parts, produce, read

HERO_START = TopicPartition("hero", 0)


class Reporter(AbstractMetricsReporter):  # type: ignore[misc]  # the base has no types
    """Knows the metrics, as one of a monitoring system does."""

    metrics: dict[str, Any]

    def init(self, metrics: list[Any]) -> None:
        self.metrics = {}

    def metric_change(self, metric: Any) -> None:
        self.metrics[metric.metric_name.name] = metric

    def metric_removal(self, metric: Any) -> None:
        self.metrics.pop(metric.metric_name.name, None)

    def configure(self, configs: Any) -> None:
        pass

    def close(self) -> None:
        pass


def values(kafka_object: Any, group: str, *names: str) -> list[float]:
    """The values of metrics of one group."""
    metrics = kafka_object.metrics()[group]
    return [metrics[name] for name in names]


def test_nothing_is_measured_that_nobody_reads(own, own_broker) -> None:
    own_broker.create_topic("hero")
    own.admin().check_connection(10)
    producer, reader = own.producer(), own.reader({HERO_START: 0})

    produce(producer, "hero", b"x", b"y")
    read(reader, 2)

    sent = values(producer.unwrap(), "producer-metrics", "request-rate", "record-send-rate")
    received = values(reader.unwrap(), "consumer-metrics", "request-rate")
    assert [*sent, *received] == [0.0, 0.0, 0.0]


def test_reporter_gets_what_it_asks_for(own_broker) -> None:
    own_broker.create_topic("hero")
    native = {"metric_reporters": [Reporter]}
    sections = {"client": {"api_version": "2.4.0", "native": native}}
    with Parts(own_broker.bootstrap_servers, **sections) as parts:
        parts.admin().check_connection(10)
        producer = parts.producer()

        produce(producer, "hero", b"x", b"y")

        (rate,) = values(producer.unwrap(), "producer-metrics", "record-send-rate")
        assert rate > 0
