"""Options of kafkajs, NestJS and Kafka that are known but cannot be honoured, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from kafka_patterns.options.names import camel_case

__all__ = ["KAFKA_NAMES", "REFUSALS", "Refusal", "refused_as"]

KAFKA_NAMES: Mapping[str, str] = {
    "auto_offset_reset": "subscribe.from_beginning",
    "bootstrap_servers": "client.brokers",
    "compression_type": "send.compression",
    "enable_auto_commit": "run.auto_commit",
}
"""Kafka's own names of options that are called otherwise here, as in kafkajs."""


@attrs.frozen
class Refusal:
    """Why an option is refused.

    :param reason: a sentence that says so, and what to use instead.
    :param harmless: values that ask for nothing but what is done anyway: these are accepted.
    """

    reason: str
    harmless: tuple[Any, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether a value asks for nothing that could not be honoured."""
        return any(type(value) is type(fine) and value == fine for fine in self.harmless)


_BROKER_DECIDES = Refusal(
    "kafka-python cannot forbid it: set `auto.create.topics.enable` on the broker", (True,)
)
_NO_IDEMPOTENCE = Refusal("kafka-python-ng has no idempotent producer", (False,))
_NO_TRANSACTIONS = Refusal("kafka-python-ng has no transactions", (None,))
_OWN_LOGGING = Refusal('use the standard library\'s `logging.getLogger("kafka_patterns")`')
_FACTORY_FORM = Refusal(
    "this form is for `ClientProxyFactory.create` and `ClientsModule.register`: "
    "give what stands under `options`"
)
_PEM_TEXT = "give the path of a PEM file as `{}`, or an `ssl.SSLContext` as `client.ssl`"
_NO_RESTART_CALLBACK = Refusal("the library always starts again; follow `status` instead")
_NO_AWS = Refusal("AWS_MSK_IAM is not among the mechanisms; set it up in `client.native`")

REFUSALS: Mapping[str, Mapping[str, Refusal]] = {
    "": {
        "parser": Refusal("set a `deserializer`: it gets the raw bytes", (None,)),
        "transport": _FACTORY_FORM,
        "options": _FACTORY_FORM,
    },
    "client": {
        "authentication_timeout_ms": Refusal(
            "signing in counts as connecting: set `client.connection_timeout_ms`"
        ),
        "enforce_request_timeout": Refusal("requests always have a timeout", (True,)),
        "log_creator": _OWN_LOGGING,
        "log_level": _OWN_LOGGING,
        "reauthentication_threshold": Refusal("kafka-python-ng signs in once per connection"),
        "socket_factory": Refusal("kafka-python makes its own sockets"),
    },
    "client.retry": {
        "factor": Refusal("kafka-python spreads its waits by 20 % and nothing else", (0.2,)),
        "restart_on_failure": _NO_RESTART_CALLBACK,
    },
    "client.sasl": {
        "access_key_id": _NO_AWS,
        "authentication_provider": Refusal("mechanisms of your own go into `client.native`"),
        "authorization_identity": _NO_AWS,
        "secret_access_key": _NO_AWS,
        "session_token": _NO_AWS,
    },
    "client.ssl": {
        "ca": Refusal(_PEM_TEXT.format("ca_file")),
        "cert": Refusal(_PEM_TEXT.format("cert_file")),
        "key": Refusal(_PEM_TEXT.format("key_file")),
        "pfx": Refusal(_PEM_TEXT.format("cert_file")),
        "reject_unauthorized": Refusal(
            "certificates are always verified; to trust your own, set `ca_file`", (True,)
        ),
        "servername": Refusal("the name is always that of the broker's address"),
    },
    "consumer": {
        "allow_auto_topic_creation": _BROKER_DECIDES,
        "isolation_level": Refusal(
            "kafka-python-ng cannot filter aborted transactions", ("read_uncommitted",)
        ),
        "max_in_flight_requests": Refusal(
            "the library decides how many fetches are under way: two per broker at most", (None,)
        ),
        "partition_assigners": Refusal("the library has its own: they keep partitions stable"),
        "partition_assignment_strategy": Refusal(
            "the library has its own: they keep partitions stable"
        ),
        "rack_id": Refusal("kafka-python-ng always reads from the leader", (None, "")),
        "read_uncommitted": Refusal("kafka-python-ng cannot filter aborted transactions", (True,)),
    },
    "consumer.retry": {
        "factor": Refusal("the library chooses how waits are spread", (0.2,)),
        "restart_on_failure": _NO_RESTART_CALLBACK,
        "retries": Refusal(
            "a failed event is delivered again for ever; to end it, use "
            "`KafkaMaxRetryExceptionFilter`"
        ),
    },
    "producer": {
        "allow_auto_topic_creation": _BROKER_DECIDES,
        "create_partitioner": Refusal(
            "keys land where NestJS and Java put them; for a fixed partition send "
            "`Message(partition=...)`"
        ),
        "enable_idempotence": _NO_IDEMPOTENCE,
        "idempotent": _NO_IDEMPOTENCE,
        "max_block_ms": Refusal("a send never blocks; `send.timeout_ms` bounds it"),
        "retry": Refusal("set `producer.retries` and `producer.retry_backoff_ms`"),
        "transaction_timeout": _NO_TRANSACTIONS,
        "transactional_id": _NO_TRANSACTIONS,
    },
    "run": {
        "each_batch": Refusal("messages go to the handlers of their patterns"),
        "each_batch_auto_resolve": Refusal("each message is finished by itself", (True,)),
        "each_message": Refusal("messages go to the handlers of their patterns"),
    },
    "send": {
        "messages": Refusal("give them to `emit_batch()`"),
        "topic": Refusal("the pattern is the topic"),
    },
    "subscribe": {
        "topic": Refusal("the topics are the patterns of the handlers"),
        "topics": Refusal("the topics are the patterns of the handlers"),
    },
}


def refused_as(section_path: str, name: str) -> tuple[str, Refusal] | None:
    """The canonical name and the refusal of a name in a section, or ``None`` if it is not one."""
    for canonical, refusal in REFUSALS.get(section_path, {}).items():
        if name in (canonical, camel_case(canonical)):
            return canonical, refusal
    return None
