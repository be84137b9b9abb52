"""Every name and number that stands on the wire, in one place.

The request and reply headers are those of NestJS 12 (copied there from Spring's
``KafkaHeaders``); names that start with ``kafka_patterns-`` are ours.
"""

from __future__ import annotations

from typing import Final

CORRELATION_ID: Final = "kafka_correlationId"
REPLY_TOPIC: Final = "kafka_replyTopic"
REPLY_PARTITION: Final = "kafka_replyPartition"
ERROR: Final = "kafka_nest-err"
IS_DISPOSED: Final = "kafka_nest-is-disposed"

DEADLINE: Final = "kafka_patterns-deadline"
"""When the caller stops waiting: wall clock, whole milliseconds since 1970, decimal text."""

SEQUENCE: Final = "kafka_patterns-sequence"
"""Which item of a stream a reply is, from 0 on, decimal text; only for callers of our own kind,
whose requests carry a deadline."""

IDEMPOTENCY_KEY: Final = "kafka_patterns-idempotency-key"
"""By what a message is the same when it is sent again, in the words of its sender."""

RETRY_COUNT_NAMES: Final = ("retryCount", "retry-count")
"""Headers in which a republished message says how often it failed before."""

DLT_PREFIX: Final = "kafka_dlt-"
"""Begins the headers that a dead letter has beside its own; they are Spring's.

Texts are UTF-8, the partition is a 4-byte big-endian number, offset and timestamp (in
milliseconds since 1970) are 8-byte ones.
"""
DLT_ORIGINAL_TOPIC: Final = "kafka_dlt-original-topic"
DLT_ORIGINAL_PARTITION: Final = "kafka_dlt-original-partition"
DLT_ORIGINAL_OFFSET: Final = "kafka_dlt-original-offset"
DLT_ORIGINAL_TIMESTAMP: Final = "kafka_dlt-original-timestamp"
DLT_ORIGINAL_TIMESTAMP_TYPE: Final = "kafka_dlt-original-timestamp-type"
DLT_ORIGINAL_CONSUMER_GROUP: Final = "kafka_dlt-original-consumer-group"
DLT_ORIGIN: Final = (
    DLT_ORIGINAL_TOPIC,
    DLT_ORIGINAL_PARTITION,
    DLT_ORIGINAL_OFFSET,
    DLT_ORIGINAL_TIMESTAMP,
    DLT_ORIGINAL_TIMESTAMP_TYPE,
)
DLT_EXCEPTION_FQCN: Final = "kafka_dlt-exception-fqcn"
DLT_EXCEPTION_CAUSE_FQCN: Final = "kafka_dlt-exception-cause-fqcn"
DLT_EXCEPTION_MESSAGE: Final = "kafka_dlt-exception-message"
DLT_EXCEPTION_STACKTRACE: Final = "kafka_dlt-exception-stacktrace"

UNREADABLE: Final = "kafka_patterns-unreadable"
"""Of a dead letter whose value is no message, but what was fetched and could not be read: why."""

RETRY_TOPIC_PREFIX: Final = "retry_topic-"
"""Begins the headers by which Spring's retry topics count and wait."""

REPLAY_GROUP: Final = "kafka_patterns-replay-group"
"""The consumer group that a replayed message is for; servers of others skip it."""
REPLAYED_FROM: Final = "kafka_patterns-replayed-from"
"""The dead letter that was replayed: ``topic/partition/offset``."""
REPLAY_ORIGIN: Final = "kafka_patterns-replay-origin"
"""Where a replayed message stood first, ``topic/partition/offset``, if its sender gave no key."""
REPLAY_COUNT: Final = "kafka_patterns-replays"
"""How often this message was replayed, in decimal digits."""
DLT_EXCEPTION_NAMES: Final = frozenset(
    {
        DLT_EXCEPTION_FQCN,
        DLT_EXCEPTION_CAUSE_FQCN,
        DLT_EXCEPTION_MESSAGE,
        DLT_EXCEPTION_STACKTRACE,
    }
)
RETRY_ATTEMPTS: Final = "retry_topic-attempts"
RETRY_FIRST_TIMESTAMP: Final = "retry_topic-original-timestamp"
RETRY_DUE_TIMESTAMP: Final = "retry_topic-backoff-timestamp"
RETRY_ORIGINAL_TOPIC: Final = "kafka_original-topic"
RETRY_ORIGINAL_PARTITION: Final = "kafka_original-partition"
RETRY_ORIGINAL_OFFSET: Final = "kafka_original-offset"
RETRY_ORIGINAL_TIMESTAMP: Final = "kafka_original-timestamp"
RETRY_ORIGINAL_TIMESTAMP_TYPE: Final = "kafka_original-timestamp-type"
RETRY_ORIGIN: Final = (
    RETRY_ORIGINAL_TOPIC,
    RETRY_ORIGINAL_PARTITION,
    RETRY_ORIGINAL_OFFSET,
    RETRY_ORIGINAL_TIMESTAMP,
    RETRY_ORIGINAL_TIMESTAMP_TYPE,
)
RETRY_EXCEPTION_FQCN: Final = "kafka_exception-fqcn"
RETRY_ADDED_NAMES: Final = frozenset(
    {
        RETRY_ATTEMPTS,
        RETRY_FIRST_TIMESTAMP,
        RETRY_DUE_TIMESTAMP,
        *RETRY_ORIGIN,
        RETRY_EXCEPTION_FQCN,
        DLT_ORIGINAL_CONSUMER_GROUP,
    }
)
"""What a message in a retry topic has beside its own headers: Spring's names."""

TIMESTAMP_TYPES: Final = {0: "CreateTime", 1: "LogAppendTime"}
NO_TIMESTAMP_TYPE: Final = "NoTimestampType"

IS_DISPOSED_VALUE: Final = b"\x00"
REPLY_TOPIC_SUFFIX: Final = ".reply"
DEAD_LETTER_TOPIC_SUFFIX: Final = "-dlt"
SPRING_DEAD_LETTER_TOPIC_SUFFIX: Final = ".DLT"
"""What earlier versions of Spring Kafka append."""
RETRY_TOPIC_MARK: Final = "-retry-"
INTERNAL_TOPIC_PREFIX: Final = "__"

REPLY_ASSIGNOR_NAME: Final = "NestReplyPartitionAssigner"
REPLY_ASSIGNOR_VERSION: Final = 1
SERVER_ASSIGNOR_NAME: Final = "RoundRobinAssigner"
"""What kafkajs offers by default: a Python server can join a NestJS server's group."""

SERVER_ASSIGNOR_VERSION: Final = 0
"""Of the protocol's structures; kafkajs's default assigner writes 0."""
OWNED_PARTITIONS_VERSION: Final = 2
"""Of the user data by which our servers tell each other what they own."""
OFFSET_MAP_PREFIX: Final = "kp2:"
WORK_NOTES_PREFIX: Final = "kp3:"
"""Begins the metadata of our commits; the digit is the version of what follows."""

REPLAY_PROGRESS_PREFIX: Final = "kpr1:"
"""Begins the metadata of a replay's commits; the digit is the version of what follows."""
REPLAY_ASSIGNOR_NAME: Final = "kafka_patterns-replay"
REPLAY_ASSIGNOR_VERSION: Final = 0

NO_MESSAGE_HANDLER: Final = "There is no matching message handler defined in the remote service."
INTERNAL_SERVER_ERROR: Final = "Internal server error"
