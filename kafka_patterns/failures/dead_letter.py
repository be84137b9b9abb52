"""Dead letters: a given-up message as it was, with headers that say why. Pure.

The added headers are those of Spring's ``DeadLetterPublishingRecoverer``, in its encodings:
texts as UTF-8, the partition as 4 bytes and offset and timestamp as 8 bytes, big-endian.
"""

from __future__ import annotations

import traceback

import attrs

from kafka_patterns import headers
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.causes import error_text
from kafka_patterns.failures.letter import Letter
from kafka_patterns.failures.origin import has_origin, origin_headers
from kafka_patterns.message import EncodedMessage, HeaderPairs, Record
from kafka_patterns.patterns import is_dead_letter_topic, validate_topic_name

__all__ = ["DeadLetter", "class_name"]

_CUT = b"... "


@attrs.frozen(kw_only=True)
class DeadLetter:
    """Where a message goes that is given up, and what is said about the failure.

    It goes there with its key, value and headers as they were. Its offset is not committed
    before the broker has it; while the broker refuses it, its lane waits.

    :param topic: the topic; ``<topic of the message>-dlt``, if not given.
    :param partition: the partition; that of the message, if not given. If the topic has no such
        partition, the key decides.
    :param include_message: whether the exception's text goes with it; it may give away data.
    :param include_trace: whether the stack trace goes with it; without the exception's text, if
        ``include_message`` is off.
    :param max_trace_bytes: bytes of the text and of the trace at most, each; of a trace the end
        is kept.
    :raises ConfigurationError: for a name, partition or bound that cannot be.
    """

    topic: str | None = None
    partition: int | None = None
    include_message: bool = True
    include_trace: bool = True
    max_trace_bytes: int = 10_000

    def __attrs_post_init__(self) -> None:
        if self.topic is not None:
            validate_topic_name(self.topic)
        for name, least in (("partition", 0), ("max_trace_bytes", 1)):
            number = getattr(self, name)
            if number is not None and (type(number) is not int or number < least):
                raise ConfigurationError(f"DeadLetter.{name} {number!r} is not an int from {least}")

    def check(self, topic: str) -> None:
        """Refuse to send the dead letters of *topic* in a circle.

        :raises ConfigurationError: if they would go to *topic*, or it holds dead letters and
            no other topic is named.
        """
        if self.topic is None and topic.endswith(headers.DEAD_LETTER_TOPIC_SUFFIX):
            raise ConfigurationError(
                f"{topic!r} holds dead letters: name the topic of theirs, DeadLetter(topic=...)"
            )
        destination = self.destination(topic)
        validate_topic_name(destination)
        if destination == topic:
            raise ConfigurationError(f"the dead letters of {topic!r} would go to it again")

    def destination(self, topic: str) -> str:
        """The topic for the dead letters of *topic*."""
        return self.topic or topic + headers.DEAD_LETTER_TOPIC_SUFFIX

    def letter(
        self, record: Record, error: BaseException, group: str, *, was_dead: bool = False
    ) -> Letter:
        """The dead letter of *record* in its forms: in full, without the trace, and bare.

        Bare is what remains for a topic that takes no more than the message itself.

        :param group: the group that gives it up.
        :param was_dead: whether its topic holds dead letters, though the name does not say so.
        """
        was_dead = was_dead or is_dead_letter_topic(record.topic)
        own = _own_headers(record)
        kept = [pair for pair in own if pair[0] not in headers.DLT_EXCEPTION_NAMES]
        if not (was_dead and has_origin(record)):
            kept += origin_headers(record, group, headers.DLT_ORIGIN)
        about = [*kept, *self._exception(error)]
        trace = self._trace(error) if self.include_trace else []
        bare = own if was_dead else _without_origin(own)
        forms = [[*about, *trace], about, bare] if trace else [about, bare]
        messages = [
            EncodedMessage(
                value=record.value,
                key=record.key,
                headers=pairs,
                partition=record.partition if self.partition is None else self.partition,
                partition_is_wish=True,
            )
            for pairs in forms
        ]
        return Letter(self.destination(record.topic), tuple(messages), "dead_lettered")

    def _exception(self, error: BaseException) -> HeaderPairs:
        pairs: HeaderPairs = [(headers.DLT_EXCEPTION_FQCN, class_name(error).encode())]
        if error.__cause__ is not None:
            cause = class_name(error.__cause__)
            pairs.append((headers.DLT_EXCEPTION_CAUSE_FQCN, cause.encode()))
        if self.include_message:
            text = error_text(error).encode("utf-8", "replace")
            pairs.append((headers.DLT_EXCEPTION_MESSAGE, _first(text, self.max_trace_bytes)))
        return pairs

    def _trace(self, error: BaseException) -> HeaderPairs:
        if self.include_message:
            lines = traceback.format_exception(error)
        else:
            lines = [*traceback.format_tb(error.__traceback__), class_name(error)]
        text = "".join(lines).encode("utf-8", "replace")
        return [(headers.DLT_EXCEPTION_STACKTRACE, _last(text, self.max_trace_bytes))]


def _without_origin(pairs: HeaderPairs) -> HeaderPairs:
    """Where nothing is added, what a sender says of an origin would be the last word."""
    return [pair for pair in pairs if not pair[0].startswith(headers.DLT_PREFIX)]


def _own_headers(record: Record) -> HeaderPairs:
    """Those of the message; of what could not be read, that its value is none."""
    if record.unreadable is None or not record.unreadable.is_raw:
        return record.headers
    return [(headers.UNREADABLE, record.unreadable.reason.encode("utf-8", "replace"))]


def class_name(error: BaseException) -> str:
    """The full name of an exception's class, as ``builtins.ValueError``."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def _first(text: bytes, size: int) -> bytes:
    if len(text) <= size:
        return text
    return text[:size].decode("utf-8", "ignore").encode()


def _last(text: bytes, size: int) -> bytes:
    if len(text) <= size:
        return text
    kept = text[-max(0, size - len(_CUT)) :].decode("utf-8", "ignore").encode()
    return (_CUT + kept)[:size]
