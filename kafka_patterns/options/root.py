"""All options of a client or a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from cattrs import Converter

from kafka_patterns.options.client import ClientOptions, RetryOptions
from kafka_patterns.options.consumer import ConsumerOptions, SubscribeOptions
from kafka_patterns.options.environment import EnvironmentSettings
from kafka_patterns.options.fields import option
from kafka_patterns.options.kinds import Unchosen, flag, live, optional, section, text
from kafka_patterns.options.problems import Rule, must_be, require
from kafka_patterns.options.producer import ProducerOptions, ReplyOptions, SendOptions
from kafka_patterns.options.run import RunOptions
from kafka_patterns.options.structure import structure

__all__ = ["KafkaOptions"]


def _section(section_class: type, name: str) -> Any:
    return option(
        attrs.Factory(section_class),
        section(section_class),
        maps_to=f"see `{name}`",
        default_text=f"see `{name}`",
    )


@attrs.frozen(kw_only=True)
class KafkaOptions:
    """All options of a client or a server; both take the same.

    :param client: the connections to the brokers.
    :param consumer: membership in the group, and reading.
    :param run: how a server works through what it reads.
    :param subscribe: where reading begins.
    :param producer: how messages are gathered and sent.
    :param send: what is asked of the broker for each message.
    :param reply: how a client gets its replies.
    :param producer_only_mode: a client that only emits: no consumer, no group.
    :param postfix_id: appended to the client id and the group id in place of `-client` or
        `-server`; may be empty.
    :param serializer: a live object that writes payloads; `None` for JSON by NestJS's rules.
    :param deserializer: a live object that reads payloads; `None` for JSON by NestJS's rules.
    :param converter: a live cattrs converter, as `make_converter()` gives, that makes what handlers
        and `returns=` are annotated with of what was read, and without `serializer` plain data of
        what is written; `None` for one without hooks of yours.
    """

    client: ClientOptions = _section(ClientOptions, "client")
    consumer: ConsumerOptions = _section(ConsumerOptions, "consumer")
    run: RunOptions = _section(RunOptions, "run")
    subscribe: SubscribeOptions = _section(SubscribeOptions, "subscribe")
    producer: ProducerOptions = _section(ProducerOptions, "producer")
    send: SendOptions = _section(SendOptions, "send")
    reply: ReplyOptions = _section(ReplyOptions, "reply")
    producer_only_mode: bool = option(False, flag(), maps_to="the client's consumer")
    postfix_id: str | None = option(
        None, optional(text(empty=True)), maps_to="`client_id`, `group_id`"
    )
    serializer: Any = option(
        None, live("an object with a serialize() method", "serialize"), maps_to="payloads"
    )
    deserializer: Any = option(
        None, live("an object with a deserialize() method", "deserialize"), maps_to="payloads"
    )
    converter: Converter | None = option(
        None, live("a cattrs converter", "get_structure_hook"), maps_to="payloads"
    )

    @classmethod
    def of(cls, options: Mapping[str, Any] | KafkaOptions | None) -> KafkaOptions:
        """Return the options that a mapping stands for; nothing given means the defaults.

        :param options: sections as mappings or as objects of the section classes, names in
            snake_case or as in kafkajs. It is never changed.
        :raises ConfigurationError: once for everything that is wrong, with the path of each
            and, for an unknown name, the nearest known one.
        """
        if isinstance(options, cls):
            return options
        return structure({} if options is None else options, cls)

    @classmethod
    def from_env(
        cls, prefix: str = "KAFKA_PATTERNS_", environ: Mapping[str, str] | None = None
    ) -> KafkaOptions:
        """Return the options that environment variables stand for.

        The name of a variable is the prefix and the option's path in upper case:
        ``KAFKA_PATTERNS_CLIENT_BROKERS=a:9092,b:9092``, ``KAFKA_PATTERNS_RUN_WORKERS=4``.

        :param environ: the variables; those of this process, if not given.
        :raises ConfigurationError: once for everything that is wrong; also for a variable with
            the prefix that is no option.
        """
        given = EnvironmentSettings(cls, prefix, environ)
        return structure(given.settings, cls, found_before=given.problems, label=given.label)

    def client_id_for(self, role_postfix: str) -> str:
        """The client id with `postfix_id`, or else with the role's ``-client`` or ``-server``."""
        return self.client.client_id + self._postfix(role_postfix)

    def group_id_for(self, role_postfix: str) -> str:
        """The group id with `postfix_id`, or else with the role's ``-client`` or ``-server``."""
        return self.consumer.group_id + self._postfix(role_postfix)

    @property
    def redelivery(self) -> RetryOptions:
        """The waits between two deliveries of a failed event, all sections considered."""
        fallback = self.consumer.retry or self.client.retry
        return RetryOptions(
            initial_retry_time_ms=self.run.retry_backoff_ms,
            max_retry_time_ms=self.run.retry_backoff_max_ms,
            multiplier=fallback.multiplier,
        )

    def _postfix(self, role_postfix: str) -> str:
        return role_postfix if self.postfix_id is None else self.postfix_id

    def __attrs_post_init__(self) -> None:
        self._fill_what_nobody_chose()
        session, rebalance = self.consumer.session_timeout_ms, self.run.rebalance_timeout_ms
        half = f"({rebalance:,}) must be less than half of consumer.session_timeout_ms"
        require(
            Rule(
                rebalance * 2 < session,
                "run.rebalance_timeout_ms",
                f"{half} ({session:,}): a rebalance stops the heartbeat",
            ),
            must_be(self, "run.retry_backoff_max_ms", "at least", "run.retry_backoff_ms"),
            must_be(self, "consumer.fetch_max_wait_ms", "less than", "client.request_timeout_ms"),
        )

    def _fill_what_nobody_chose(self) -> None:
        retry = self.consumer.retry or self.client.retry
        half_a_session_ms = max(1, (self.consumer.session_timeout_ms - 1) // 2)
        self._give_way("run", "retry_backoff_ms", retry.initial_retry_time_ms)
        self._give_way("run", "retry_backoff_max_ms", retry.max_retry_time_ms)
        self._give_way("run", "rebalance_timeout_ms", min(5_000, half_a_session_ms))
        self._give_way("producer", "retries", self.client.retry.retries)
        for name in ("consumer", "producer"):
            self._give_way(name, "metadata_max_age_ms", self.client.metadata_max_age_ms)

    def _give_way(self, section_name: str, option_name: str, value: int) -> None:
        current = getattr(self, section_name)
        if isinstance(getattr(current, option_name), Unchosen):
            changed = attrs.evolve(current, **{option_name: Unchosen(value)})
            object.__setattr__(self, section_name, changed)
