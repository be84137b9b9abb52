"""What a dead letter becomes when it is sent again, and for whom it is. Pure."""

from __future__ import annotations

from kafka_patterns import headers
from kafka_patterns.failures.dead_letter_record import DeadLetterRecord
from kafka_patterns.failures.message_key import message_place
from kafka_patterns.message import EncodedMessage, Record

__all__ = ["is_for_another_group", "is_replay_of", "replayed_from", "replayed_message"]

_DROPPED = (
    # Nobody waits for the reply any more: the handler runs as for an event.
    headers.REPLY_TOPIC,
    headers.REPLY_PARTITION,
    headers.DEADLINE,
    headers.REPLAY_GROUP,
    headers.REPLAYED_FROM,
    headers.REPLAY_ORIGIN,
    headers.REPLAY_COUNT,
)


def replayed_from(letter: DeadLetterRecord) -> bytes:
    """The trace that a replayed message carries."""
    return message_place(letter.topic, letter.partition, letter.offset).encode()


def replayed_message(
    letter: DeadLetterRecord, *, partition: int | None, only_group: str | None
) -> EncodedMessage:
    """The original message with its key, value and headers, and where it comes from.

    :param partition: of the topic it goes to; ``None`` for the one its key decides.
    :param only_group: the consumer group it is for; ``None`` for all.

    Idempotent handlers take it for the original message, however often it is replayed.
    """
    pairs = [
        (name, value)
        for name, value in letter.headers
        if name not in _DROPPED and not name.startswith(headers.RETRY_TOPIC_PREFIX)
    ]
    origin = _origin(letter)
    has_key = any(name == headers.IDEMPOTENCY_KEY and value for name, value in pairs)
    if origin is not None and not has_key:
        pairs.append((headers.REPLAY_ORIGIN, origin))
    pairs.append((headers.REPLAYED_FROM, replayed_from(letter)))
    pairs.append((headers.REPLAY_COUNT, str(letter.replays + 1).encode()))
    if only_group is not None:
        pairs.append((headers.REPLAY_GROUP, only_group.encode()))
    return EncodedMessage(value=letter.value, key=letter.key, headers=pairs, partition=partition)


def _origin(letter: DeadLetterRecord) -> bytes | None:
    """Where the message stood first: before an earlier replay, if it was replayed."""
    before = dict(letter.headers).get(headers.REPLAY_ORIGIN)
    topic, number, offset = letter.original_topic, letter.original_partition, letter.original_offset
    if before or topic is None or number is None or offset is None:
        return before or None
    return message_place(topic, number, offset).encode()


def is_replay_of(record: Record, letter: Record) -> bool:
    """Whether *record* is what becomes of *letter*, a dead letter, and not merely says so."""
    message = replayed_message(DeadLetterRecord.of(letter), partition=None, only_group=None)
    pairs = [pair for pair in record.headers if pair[0] != headers.REPLAY_GROUP]
    return (record.key, record.value, pairs) == (message.key, message.value, message.headers)


def is_for_another_group(record: Record, group_id: str) -> bool:
    """Whether *record* was replayed for another consumer group than *group_id*."""
    group = record.header(headers.REPLAY_GROUP)
    return group is not None and group != group_id.encode()
