"""Whether and when a failed message is tried again: values in, a value out. Pure."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import attrs

from kafka_patterns.backoff import Backoff, exponential
from kafka_patterns.errors import ConfigurationError, KafkaRetriableException, RpcException
from kafka_patterns.failures.causes import Cause
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = [
    "Decision",
    "ExceptionTypes",
    "Failure",
    "GiveUp",
    "Reason",
    "Retry",
    "RetryAfter",
    "exception_types",
]

_DEFAULT_BACKOFF = exponential(0.2, maximum=30, jitter=0.2)

ExceptionTypes = tuple[type[BaseException], ...]


@attrs.frozen(kw_only=True)
class Failure:
    """One failed try, and what is known of those before.

    :param error: what the handler, or the exception filter after it, raised.
    :param attempt: how often the message was delivered, this time included.
    :param elapsed: seconds since its first try began.
    :param cause: what kind of failure it is.
    :param expects_reply: whether a caller waits for an answer.
    :param time_left: seconds until the caller waits no longer, if that is known.
    """

    error: BaseException
    attempt: int
    elapsed: float = 0.0
    cause: Cause = Cause.HANDLER
    expects_reply: bool = False
    time_left: float | None = None


class Reason(enum.Enum):
    """Why a message is not tried again."""

    HOPELESS = "it would fail the same way again"
    ANSWER = "its exception is the answer to its caller"
    NOT_RETRIABLE = "its exception is not one to try again"
    ATTEMPTS = "it was tried as often as allowed"
    ELAPSED = "the time for its tries is over"
    DEADLINE = "its caller would wait no longer"


@attrs.frozen
class RetryAfter:
    """Try again in so many seconds."""

    seconds: float


@attrs.frozen
class GiveUp:
    """Do not try again."""

    reason: Reason


Decision = RetryAfter | GiveUp


def exception_types(value: Any) -> ExceptionTypes:
    """One type or several, as a tuple."""
    return tuple(value) if isinstance(value, (tuple, list, set, frozenset)) else (value,)


@attrs.frozen(kw_only=True)
class Retry:
    """How often, when and after which exceptions a message is tried again, in its place.

    Its lane waits meanwhile: the messages of its key, or of its partition, as the handler's
    ordering says. No worker thread waits, and a stop ends the wait.

    :param max_attempts: deliveries in all, the first one included; ``None`` for no limit.
    :param backoff: the waits: :func:`~kafka_patterns.exponential`,
        :func:`~kafka_patterns.fixed`, or any function from the number of failures to seconds.
    :param on: the only exception types to try again after; all, if none is given.
    :param unless: exception types not to try again after.
    :param retry_if: asked last: whether to try again after this exception.
    :param max_elapsed: seconds after the first try began in which the last one must begin;
        ``None`` for no limit.
    :raises ConfigurationError: for a limit that is none, or a type that is no exception.

    Without being asked for in ``on``, these are not tried again: payloads that cannot be read
    or do not fit, calls the handler's signature refuses, and ``RpcException`` of a request,
    which is an answer. ``KafkaRetriableException`` always is, within the limits.
    """

    max_attempts: int | None = 5
    backoff: Backoff = _DEFAULT_BACKOFF
    on: ExceptionTypes = attrs.field(default=(), converter=exception_types)
    unless: ExceptionTypes = attrs.field(default=(), converter=exception_types)
    retry_if: Callable[[Any], bool] | None = None
    max_elapsed: float | None = None

    def __attrs_post_init__(self) -> None:
        limit = self.max_attempts
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigurationError(f"Retry.max_attempts {limit!r} is not an int from 1")
        if self.max_elapsed is not None and not self.max_elapsed >= 0:
            raise ConfigurationError(f"Retry.max_elapsed {self.max_elapsed!r} is not a time from 0")
        functions = {"backoff": self.backoff, "retry_if": self.retry_if or bool}
        for name, function in functions.items():
            if not callable(function):
                raise ConfigurationError(f"Retry.{name} {function!r} is not a function")
            refuse_async(function, f"Retry.{name}")
        chosen: Any
        for chosen in (*self.on, *self.unless):
            if not (isinstance(chosen, type) and issubclass(chosen, BaseException)):
                raise ConfigurationError(f"Retry: {chosen!r} is not an exception type")

    def decide(self, failure: Failure) -> Decision:
        """Whether and when the message that failed is tried again."""
        reason = self._refusal(failure)
        if reason is not None:
            return GiveUp(reason)
        if self.max_attempts is not None and failure.attempt >= self.max_attempts:
            return GiveUp(Reason.ATTEMPTS)
        wait = float(refuse_awaitable(self.backoff(failure.attempt), "Retry.backoff"))
        if not 0 <= wait < math.inf:
            raise ConfigurationError(f"Retry.backoff({failure.attempt}) gave {wait!r}, no time")
        if self.max_elapsed is not None and failure.elapsed + wait > self.max_elapsed:
            return GiveUp(Reason.ELAPSED)
        if failure.time_left is not None and wait >= failure.time_left:
            return GiveUp(Reason.DEADLINE)
        return RetryAfter(wait)

    def _refusal(self, failure: Failure) -> Reason | None:
        """Why no further try is worth it, whatever the limits."""
        error = failure.error
        if isinstance(error, KafkaRetriableException):
            return None
        if isinstance(error, self.unless):
            return Reason.NOT_RETRIABLE
        if self.on:
            if not isinstance(error, self.on):
                return Reason.HOPELESS if failure.cause.is_hopeless else Reason.NOT_RETRIABLE
        elif failure.cause.is_hopeless:
            return Reason.HOPELESS
        elif failure.expects_reply and isinstance(error, RpcException):
            return Reason.ANSWER
        if self.retry_if is not None and not refuse_awaitable(
            self.retry_if(error), "Retry.retry_if"
        ):
            return Reason.NOT_RETRIABLE
        return None
