"""Kafka microservices for synchronous, threaded Python, wire-compatible with NestJS."""

from __future__ import annotations

from kafka_patterns.backoff import exponential, fixed
from kafka_patterns.client.counts import PatternCounts
from kafka_patterns.client.gathering import Gathered, GatheredReply
from kafka_patterns.client.health import ClientHealth
from kafka_patterns.client.histogram import Histogram
from kafka_patterns.client.proxy import ClientKafkaProxy
from kafka_patterns.client.registry import (
    Client,
    ClientProxyFactory,
    ClientRegistry,
    ClientsModule,
    Transport,
)
from kafka_patterns.errors import (
    AuthenticationFailed,
    BatchItemFailed,
    BrokersUnavailable,
    ClientClosed,
    CommitFailed,
    ConfigurationError,
    GroupError,
    HandlerLost,
    KafkaPatternsError,
    KafkaRetriableException,
    NoReplyPartition,
    NotAuthorized,
    NotConnected,
    NotSubscribedToReply,
    PartitionLost,
    PayloadError,
    ReplayFailed,
    ReplyPayloadError,
    ReplyTopicError,
    RequestError,
    RequestTimeout,
    RpcException,
    SendFailed,
    TlsHandshakeFailed,
    TooManyPendingRequests,
    TooManyUnreadReplies,
    TransportError,
)
from kafka_patterns.failures.database_store import DatabaseStore
from kafka_patterns.failures.dead_letter import DeadLetter
from kafka_patterns.failures.dead_letter_record import DeadLetterRecord
from kafka_patterns.failures.filters import (
    ExceptionFilter,
    KafkaMaxRetryExceptionFilter,
    use_filters,
)
from kafka_patterns.failures.idempotency import (
    Claim,
    IdempotencyStore,
    StoredReply,
    idempotent,
)
from kafka_patterns.failures.memory_store import MemoryStore
from kafka_patterns.failures.policy import Retry
from kafka_patterns.failures.replay import ReplayReport
from kafka_patterns.failures.retry_topics import RetryTopics
from kafka_patterns.message import (
    IncomingMessage,
    Message,
    OffsetAndMetadata,
    Record,
    RecordMetadata,
    TopicPartition,
    Unreadable,
)
from kafka_patterns.middleware.chain import Middleware
from kafka_patterns.middleware.current_message import (
    CurrentMessageMiddleware,
    current_context,
    current_message,
)
from kafka_patterns.middleware.log_lines import LoggingMiddleware
from kafka_patterns.middleware.timing import Timing, TimingMiddleware
from kafka_patterns.options import KafkaOptions
from kafka_patterns.replaying import inspect_dead_letters, replay
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.serialization.json import JsonDeserializer, JsonSerializer
from kafka_patterns.serialization.typed import make_converter
from kafka_patterns.server.context import KafkaContext
from kafka_patterns.server.deferral import Acknowledgement
from kafka_patterns.server.health import ServerHealth
from kafka_patterns.server.marks import Batch, event_pattern, message_pattern
from kafka_patterns.server.server import ServerKafka
from kafka_patterns.server.signals import ExitCode
from kafka_patterns.server.watch import RunningHandler
from kafka_patterns.stalled import StalledPartition
from kafka_patterns.status import KafkaStatus

__all__ = [
    "Acknowledgement",
    "AuthenticationFailed",
    "Batch",
    "BatchItemFailed",
    "BrokersUnavailable",
    "Claim",
    "Client",
    "ClientClosed",
    "ClientHealth",
    "ClientKafkaProxy",
    "ClientProxyFactory",
    "ClientRegistry",
    "ClientsModule",
    "CommitFailed",
    "ConfigurationError",
    "CurrentMessageMiddleware",
    "DatabaseStore",
    "DeadLetter",
    "DeadLetterRecord",
    "Deserializer",
    "ExceptionFilter",
    "ExitCode",
    "Gathered",
    "GatheredReply",
    "GroupError",
    "HandlerLost",
    "Histogram",
    "IdempotencyStore",
    "IncomingMessage",
    "JsonDeserializer",
    "JsonSerializer",
    "KafkaContext",
    "KafkaMaxRetryExceptionFilter",
    "KafkaOptions",
    "KafkaPatternsError",
    "KafkaRetriableException",
    "KafkaStatus",
    "LoggingMiddleware",
    "MemoryStore",
    "Message",
    "Middleware",
    "NoReplyPartition",
    "NotAuthorized",
    "NotConnected",
    "NotSubscribedToReply",
    "OffsetAndMetadata",
    "PartitionLost",
    "PatternCounts",
    "PayloadError",
    "Record",
    "RecordMetadata",
    "ReplayFailed",
    "ReplayReport",
    "ReplyPayloadError",
    "ReplyTopicError",
    "RequestError",
    "RequestTimeout",
    "Retry",
    "RetryTopics",
    "RpcException",
    "RunningHandler",
    "SendFailed",
    "Serializer",
    "ServerHealth",
    "ServerKafka",
    "StalledPartition",
    "StoredReply",
    "Timing",
    "TimingMiddleware",
    "TlsHandshakeFailed",
    "TooManyPendingRequests",
    "TooManyUnreadReplies",
    "TopicPartition",
    "Transport",
    "TransportError",
    "Unreadable",
    "current_context",
    "current_message",
    "event_pattern",
    "exponential",
    "fixed",
    "idempotent",
    "inspect_dead_letters",
    "make_converter",
    "message_pattern",
    "replay",
    "use_filters",
]
