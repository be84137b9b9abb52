"""Handlers that run once per message, however often it is delivered.

The first delivery claims the message's key in a store, runs the handler and keeps its reply
there; later ones return that reply. A handler that raises gives its claim back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.message_key import key_of_handler, key_of_message
from kafka_patterns.failures.stored_reply import read_reply, write_reply
from kafka_patterns.patterns import MARKS_ATTRIBUTE
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = [
    "Claim",
    "IdempotencyStore",
    "StoredReply",
    "idempotent",
    "is_idempotent",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_IDEMPOTENT = "__kafka_patterns_idempotent__"


@attrs.frozen
class StoredReply:
    """The message was handled before.

    :param text: what :meth:`Claim.complete` was given then.
    """

    text: str


class Claim(Protocol):
    """The right to handle one message; ends with one of these calls, in the same thread."""

    def complete(self, text: str) -> None:
        """The handler returned: keep *text* until the time to live is over.

        :raises KafkaRetriableException: if the claim was lost meanwhile; the message is
            delivered again.
        """
        ...

    def release(self) -> None:
        """The handler raised: the next delivery may claim the message. Never raises."""
        ...


@runtime_checkable
class IdempotencyStore(Protocol):
    """Where claims and replies are kept. Any thread."""

    def claim(self, key: str) -> Claim | StoredReply:
        """Claim *key*, or return what was kept for it.

        If another delivery holds the claim, wait for it within a bound.

        :param key: any text of at most 255 characters, chosen by a sender in part. Keys that differ
            in anything, be it case or a trailing blank, are different keys.
        :raises KafkaRetriableException: if the bound passed.
        """
        ...


def idempotent(
    *,
    store: IdempotencyStore,
    key: Callable[[Any, Any], object] | None = None,
    scope: str | None = None,
) -> Callable[[Function], Function]:
    """Decorate a handler so that a message that comes again is not handled again.

    A duplicate returns the reply of the first time, as plain data. While another delivery of the
    same message is handled, this one waits in its worker thread, as long as the store says;
    then :class:`~kafka_patterns.KafkaRetriableException` has it delivered again. If the handler
    raises, nothing is kept. Called by hand, without a context, the function is as it was.

    Stands below the decorator that makes it a handler. Not for generators, batches and handlers
    that defer: they are refused.

    :param store: such as :class:`~kafka_patterns.MemoryStore` or
        :class:`~kafka_patterns.DatabaseStore`.
    :param key: given payload and context, returns what makes the message the same: a text, int,
        UUID or bytes. If not given, the header ``kafka_patterns-idempotency-key``, and
        without it the message's topic, partition and offset.
    :param scope: put before each key, so that handlers that share a store stay apart; the
        function's qualified name if not given.
    :raises ConfigurationError: for what cannot be made idempotent.
    """
    if not isinstance(store, IdempotencyStore):
        raise ConfigurationError(f"store={store!r} has no claim(key) method")
    refuse_async(store.claim, "the store's claim")
    if key is not None:
        refuse_async(key, "the key function")

    def decorate(function: Function) -> Function:
        _check(function)
        prefix = function.__qualname__ if scope is None else scope
        signature = inspect.signature(function)
        takes_context = "context" in signature.parameters
        has_owner = next(iter(signature.parameters), None) in ("self", "cls")

        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            context = next(filter(_is_context, named.values()), None)
            if not takes_context:
                named.pop("context", None)
            if context is None:
                return function(*args, **named)
            if key is None:
                claimed = key_of_message(context, prefix)
            else:
                found = key(_payload(args[has_owner:], named), context)
                refuse_awaitable(found, f"the key function of {prefix}")
                claimed = key_of_handler(found, prefix)
            claim = store.claim(claimed)
            if isinstance(claim, StoredReply):
                _tell_handled_before(context)
                return read_reply(claim.text)
            return _run(claim, context, lambda: function(*args, **named))

        wrapper: Any = call
        if not takes_context:
            wrapper.__signature__ = _with_context(signature)
        setattr(wrapper, _IDEMPOTENT, True)
        return wrapper  # type: ignore[no-any-return]  # functools.wraps keeps the signature

    return decorate


def is_idempotent(function: Any) -> bool:
    """Whether *function* was decorated with :func:`idempotent`."""
    return bool(getattr(function, _IDEMPOTENT, False))


def _run(claim: Claim, context: Any, call: Callable[[], Any]) -> Any:
    try:
        result = refuse_awaitable(call(), f"handler {context.handler}")
        if isinstance(result, Iterator):
            raise ConfigurationError(
                f"handler {context.handler} returned an iterator: several replies cannot be kept "
                "by @idempotent; return a list, or leave the decorator out"
            )
        if context.is_deferred:
            # It is not handled when it returns, but it would be kept as if it were.
            raise ConfigurationError(
                f"handler {context.handler} defers its message, which @idempotent cannot keep; do "
                "the work in the handler, or leave the decorator out"
            )
        text = write_reply(result if context.expects_reply else None)
    except BaseException:
        claim.release()
        raise
    claim.complete(text)
    return result


def _check(function: Any) -> None:
    refuse_async(function, "handler")
    name = getattr(function, "__qualname__", None)
    if isinstance(function, (staticmethod, classmethod)) or not callable(function) or not name:
        raise ConfigurationError(
            f"@idempotent decorates functions and methods, not {function!r}; of a static or class "
            "method, it stands below @staticmethod or @classmethod"
        )
    if inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"handler {name} is a generator: several replies cannot be kept by @idempotent; "
            "return a list, or leave the decorator out"
        )
    if hasattr(function, MARKS_ATTRIBUTE):
        raise ConfigurationError(
            f"handler {name}: @idempotent must stand below the decorator that registers the "
            "handler, or it would not be called"
        )


def _with_context(signature: inspect.Signature) -> inspect.Signature:
    """The server gives a context to whoever asks for one."""
    parameters = list(signature.parameters.values())
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, default=None)
    at = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        at -= 1
    return signature.replace(parameters=[*parameters[:at], context, *parameters[at:]])


def _tell_handled_before(context: Any) -> None:
    """What commits by hand in the handler is not called: the server finishes the message."""
    tell = getattr(context, "mark_handled_before", None)  # a test's context may have none
    if tell is not None:
        tell()


def _is_context(value: Any) -> bool:
    # Asked of the class: an object's own attributes may take time to find.
    return all(hasattr(type(value), name) for name in ("message", "handler", "expects_reply"))


def _payload(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if args:
        return args[0]
    return next((value for value in named.values() if not _is_context(value)), None)
