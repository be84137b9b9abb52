"""The base's own metrics, which cost more than a tenth of a request and which nobody reads."""

from __future__ import annotations

from typing import Any

__all__ = ["switch_off_metrics"]


def switch_off_metrics(owner: Any) -> None:
    """Let the sensors of a ``KafkaProducer`` or ``KafkaConsumer`` record nothing.

    Unless it has ``metric_reporters``: whoever set some, through ``native``, wants the values.
    """
    if owner.config["metric_reporters"]:
        return
    metrics = owner._metrics
    make_sensor = metrics.sensor

    def make_idle_sensor(*arguments: Any, **named: Any) -> Any:
        sensor = make_sensor(*arguments, **named)
        sensor.record = _ignore
        return sensor

    metrics.sensor = make_idle_sensor  # those of a topic are made when it is used first
    for sensor in list(metrics._sensors.values()):
        sensor.record = _ignore
    sender = getattr(owner, "_sender", None)  # a producer's
    if sender is not None:
        sender._sensors.update_produce_request_metrics = _ignore  # looks for a dozen of sensors


def _ignore(*_: Any) -> None:
    """In the place of what records."""
