"""The options of clients and servers: sections of attrs classes, read strictly.

``KafkaOptions.of(mapping)`` and ``KafkaOptions.from_env()`` are the ways in. An option has a
canonical name (snake_case, Kafka's own word, durations in milliseconds with ``_ms``) and
kafkajs's camelCase name as an alias. What cannot be honoured is refused by name.
"""

from __future__ import annotations

from kafka_patterns.options.client import ClientOptions, ClientRetryOptions, RetryOptions
from kafka_patterns.options.consumer import ConsumerOptions, SubscribeOptions
from kafka_patterns.options.producer import ProducerOptions, ReplyOptions, SendOptions
from kafka_patterns.options.root import KafkaOptions
from kafka_patterns.options.run import RunOptions
from kafka_patterns.options.security import SaslOptions, SslOptions

__all__ = [
    "ClientOptions",
    "ClientRetryOptions",
    "ConsumerOptions",
    "KafkaOptions",
    "ProducerOptions",
    "ReplyOptions",
    "RetryOptions",
    "RunOptions",
    "SaslOptions",
    "SendOptions",
    "SslOptions",
    "SubscribeOptions",
]
