"""Exception filters: what a failed handler's exception becomes.

A filter's ``catch`` returns the reply, or raises the error. It is asked for exceptions of the
types in its ``exceptions`` (all, if it has none). Of the filters that apply, the nearest one
decides alone: those of the function, then of its class, then the global ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from kafka_patterns.backoff import fixed
from kafka_patterns.errors import ConfigurationError, KafkaRetriableException, RpcException
from kafka_patterns.failures.causes import error_text
from kafka_patterns.failures.policy import Failure, Retry, RetryAfter
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = [
    "ExceptionFilter",
    "FilterContext",
    "KafkaMaxRetryExceptionFilter",
    "check_filters",
    "choose_filter",
    "filters_of",
    "use_filters",
]

logger = logging.getLogger("kafka_patterns.filters")

Target = TypeVar("Target", bound=Callable[..., Any])

_FILTERS = "__kafka_patterns_filters__"


class FilterContext(Protocol):
    """What a filter may ask of the message; a ``KafkaContext`` in a running server."""

    @property
    def message(self) -> Any: ...

    @property
    def expects_reply(self) -> bool: ...

    @property
    def attempt(self) -> int: ...


@runtime_checkable
class ExceptionFilter(Protocol):
    """Anything with a ``catch``."""

    def catch(self, exception: Any, context: Any) -> Any:
        """Return the reply, or raise the error; raising *exception* again leaves it as it is.

        :param exception: of the types in ``exceptions``; without them whatever a handler can
            raise, ``SystemExit`` for example.
        """
        ...


def use_filters(*filters: ExceptionFilter) -> Callable[[Target], Target]:
    """Decorate a handler, or a class of handlers, with exception filters.

    :raises ConfigurationError: if one of them has no ``catch``, or an asynchronous one.
    """
    check_filters(filters)

    def decorate(target: Target) -> Target:
        carrier: Any = target
        if isinstance(target, (staticmethod, classmethod)):
            carrier = target.__func__
        setattr(carrier, _FILTERS, (*filters, *filters_of(carrier)))
        return target

    return decorate


def check_filters(filters: Iterable[Any]) -> None:
    """Refuse what is no filter.

    :raises ConfigurationError: names what lacks a ``catch``, is a class, or is asynchronous.
    """
    for candidate in filters:
        if isinstance(candidate, type):
            raise ConfigurationError(
                f"{candidate.__name__} is a class: pass an instance, {candidate.__name__}(...)"
            )
        if not isinstance(candidate, ExceptionFilter):
            raise ConfigurationError(f"{candidate!r} has no catch(exception, context) method")
        refuse_async(candidate.catch, "exception filter")


def filters_of(target: Any) -> tuple[ExceptionFilter, ...]:
    """The filters a function or class was decorated with."""
    return tuple(getattr(target, _FILTERS, ()))


def choose_filter(
    filters: Sequence[ExceptionFilter], exception: BaseException
) -> ExceptionFilter | None:
    """The first filter that wants exceptions of this type."""
    for candidate in filters:
        if isinstance(exception, getattr(candidate, "exceptions", BaseException)):
            return candidate
    return None


class KafkaMaxRetryExceptionFilter:
    """Ends the redelivery of a message after a number of retries.

    When the next try comes is left to the handler's policy.

    :param max_retries: allows one delivery and this many more, counted by ``context.attempt``:
        a ``retryCount`` or ``retry-count`` header counts as that many deliveries before.
    :param skip_handler: called once with the message that is given up; what it raises is
        logged. The message is finished either way.

    After that the offset moves on. A caller that waits for a reply gets the error.
    """

    def __init__(
        self, max_retries: int, skip_handler: Callable[[Any], object] | None = None
    ) -> None:
        if type(max_retries) is not int or max_retries < 0:
            raise ConfigurationError(f"max_retries must be an int from 0, not {max_retries!r}")
        if skip_handler is not None:
            if not callable(skip_handler):
                raise ConfigurationError(f"skip_handler {skip_handler!r} is not a function")
            refuse_async(skip_handler, "skip_handler")
        self.max_retries = max_retries
        self.skip_handler = skip_handler
        self._policy = Retry(max_attempts=max_retries + 1, backoff=fixed(0), on=(BaseException,))

    def catch(self, exception: BaseException, context: FilterContext) -> Any:
        """Raise *exception* while retries are left; then skip, and return."""
        if context.expects_reply and not isinstance(exception, KafkaRetriableException):
            raise exception  # it is answered, not retried
        failure = Failure(error=exception, attempt=context.attempt)
        if isinstance(self._policy.decide(failure), RetryAfter):
            raise exception
        self._skip(context.message, exception)
        if context.expects_reply:
            error = getattr(exception, "error", None) or error_text(exception)
            raise RpcException(error) from exception
        return None

    def _skip(self, message: Any, exception: BaseException) -> None:
        logger.warning(
            "%s[%d] offset %d is skipped after %d retries: %s: %s",
            message.topic,
            message.partition,
            message.offset,
            self.max_retries,
            type(exception).__name__,
            error_text(exception),
        )
        if self.skip_handler is None:
            return
        try:
            refuse_awaitable(self.skip_handler(message), "skip_handler")
        except BaseException:
            logger.exception(
                "the skip handler failed for %s[%d] offset %d",
                message.topic,
                message.partition,
                message.offset,
            )
