"""Dead letters: looking at them, and sending them to where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka_patterns.consuming.ranges import RangeReader
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.dead_letter_record import DeadLetterRecord
from kafka_patterns.failures.replay import Replay, ReplayPlan, ReplayReport
from kafka_patterns.failures.replay_group import ReplayGroup
from kafka_patterns.failures.replay_state import ReplayState
from kafka_patterns.failures.replay_topics import offsets_of, partitions_of
from kafka_patterns.message import TopicPartition
from kafka_patterns.options import KafkaOptions
from kafka_patterns.patterns import validate_topic_name
from kafka_patterns.synchronous import refuse_async, refuse_awaitable
from kafka_patterns.transport.base import EARLIEST, LATEST, Admin, Transport
from kafka_patterns.transport.loading import load_transport

__all__ = ["inspect_dead_letters", "replay"]

_ROLE_POSTFIX = "-replay"
_GROUP_PREFIX = "kafka_patterns-replay."
_CLOSE_SECONDS = 5.0
_READ_RECORDS = 500


def inspect_dead_letters(
    dead_letter_topic: str,
    *,
    where: Callable[[DeadLetterRecord], bool] | None = None,
    limit: int | None = None,
    options: Mapping[str, Any] | KafkaOptions | None = None,
) -> Iterator[DeadLetterRecord]:
    """Iterate over the dead letters that are in a topic now. Nothing is changed.

    :param where: which ones; all, if not given.
    :param limit: how many at most.
    :param options: as for a client: where the brokers are.
    :raises ConfigurationError: for arguments that cannot work.
    :raises BrokersUnavailable: if no broker answers.
    :raises TransportError: if the topic does not exist, or cannot be read.
    """
    _check(dead_letter_topic, where, limit=limit)
    return _letters(dead_letter_topic, where, limit, KafkaOptions.of(options))


def _letters(
    topic: str,
    where: Callable[[DeadLetterRecord], bool] | None,
    limit: int | None,
    options: KafkaOptions,
) -> Iterator[DeadLetterRecord]:
    found = 0
    with _connected(options) as (transport, admin):
        partitions = partitions_of(admin, topic)
        firsts = offsets_of(admin, partitions, EARLIEST)
        ends = offsets_of(admin, partitions, LATEST)
        reader = transport.reader()
        try:
            letters = RangeReader(reader, admin, firsts, ends)
            while records := letters.read(_READ_RECORDS):
                for record in records:
                    letter = DeadLetterRecord.of(record)
                    if where is None or refuse_awaitable(where(letter), "where"):
                        yield letter
                        found += 1
                        if found == limit:
                            return
        finally:
            reader.close()


def replay(
    dead_letter_topic: str,
    *,
    to: str | None = None,
    where: Callable[[DeadLetterRecord], bool] | None = None,
    limit: int | None = None,
    rate: float | None = None,
    dry_run: bool = True,
    again: bool = False,
    all_groups: bool = False,
    group_id: str | None = None,
    options: Mapping[str, Any] | KafkaOptions | None = None,
) -> ReplayReport:
    """Send the dead letters that are in a topic now to where they came from.

    What was replayed is committed in a consumer group, so that no letter is replayed twice,
    whatever ``where`` and ``limit`` of several runs were, and also if a run was killed. Letters
    stay in their topic. A message that goes back to its topic goes to its partition, if that
    still exists, and servers of other groups than the one that gave it up skip it.

    :param to: the topic to send to; the one each letter came from, if not given.
    :param where: which letters; all, if not given.
    :param limit: how many are replayed at most.
    :param rate: messages per second at most.
    :param dry_run: only count, which is the default.
    :param again: also replay what was replayed before.
    :param all_groups: let the servers of all groups handle what goes back to its topic.
    :param group_id: the consumer group that keeps the progress;
        ``kafka_patterns-replay.<dead letter topic>`` if not given.
    :param options: as for a client: where the brokers are.
    :raises ConfigurationError: for arguments that cannot work.
    :raises BrokersUnavailable: if no broker answers.
    :raises TransportError: if a topic does not exist, or cannot be read.
    :raises GroupError: if another run of the same replay has not ended.
    :raises ReplayFailed: if the broker did not take a message, there is no room to note more, or
        this run was thrown out of its group; its ``report`` says what was done.
    """
    _check(dead_letter_topic, where, limit=limit, rate=rate)
    if to is not None:
        validate_topic_name(to)
    if to == dead_letter_topic:
        raise ConfigurationError(f"to={to!r} is the dead letter topic itself")
    plan = ReplayPlan(
        topic=dead_letter_topic,
        to=to,
        where=where,
        limit=limit,
        rate=rate,
        dry_run=dry_run,
        again=again,
        all_groups=all_groups,
    )
    resolved = KafkaOptions.of(options)
    with _connected(resolved) as (transport, admin):
        partitions = partitions_of(admin, dead_letter_topic)
        group = ReplayGroup(
            transport,
            group_id or _GROUP_PREFIX + dead_letter_topic,
            dead_letter_topic,
            resolved.consumer.session_timeout_ms / 1000,
        )
        try:
            firsts = offsets_of(admin, partitions, EARLIEST)
            ends = offsets_of(admin, partitions, LATEST)
            state = ReplayState(group, admin, transport, firsts, ends, dry_run=dry_run)
            starts = firsts if again else state.positions
            return _run(plan, state, transport, admin, starts, ends, resolved)
        finally:
            group.close()


def _run(
    plan: ReplayPlan,
    state: ReplayState,
    transport: Transport,
    admin: Admin,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    options: KafkaOptions,
) -> ReplayReport:
    send_timeout = options.send.timeout_ms / 1000
    producer = None if plan.dry_run else transport.producer(may_send=lambda: state.is_sole_run)
    reader = transport.reader()
    try:
        letters = RangeReader(reader, admin, starts, ends, state.keep)
        return Replay(plan, state, admin, producer, send_timeout).run(letters.read)
    finally:
        reader.close()
        if producer is not None:
            producer.close(_CLOSE_SECONDS)
        state.finish()


@contextmanager
def _connected(options: KafkaOptions) -> Iterator[tuple[Transport, Admin]]:
    transport = load_transport(options, options.client_id_for(_ROLE_POSTFIX))
    admin = transport.admin()
    try:
        admin.check_connection(options.client.connection_timeout_ms / 1000)
        yield transport, admin
    finally:
        admin.close()


def _check(
    topic: str,
    where: Callable[[DeadLetterRecord], bool] | None,
    *,
    limit: int | None,
    rate: float | None = None,
) -> None:
    validate_topic_name(topic)
    if where is not None:
        refuse_async(where, "where")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ConfigurationError(f"limit must be an int from 1, not {limit!r}")
    if rate is not None and not rate > 0:
        raise ConfigurationError(f"rate must be above 0 messages per second, not {rate!r}")
