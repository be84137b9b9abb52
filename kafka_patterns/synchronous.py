"""Functions of users are plain ones: nobody here would await a coroutine, so it would never run.

What is asynchronous is refused where it is handed over. What only shows itself when it is called, a
lambda that returns a coroutine for example, is a failure of the call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CoroutineType, GeneratorType
from typing import Any, TypeVar

from kafka_patterns.errors import ConfigurationError

__all__ = ["is_async", "refuse_async", "refuse_awaitable"]

T = TypeVar("T")

_WHAT_TO_DO = (
    "nobody here would await it, and so it would never run. Write a plain function; one that has "
    "something to await may call asyncio.run(), but must not bear functools.wraps() of what it runs"
)
# What a plain function usually returns; no class of these needs to be asked.
_PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})


def refuse_async(function: Any, what: str) -> None:
    """Refuse a coroutine function or an asynchronous generator, also one inside of others.

    ``functools.partial``, ``functools.wraps``, methods and ``__call__`` are looked through.

    :param what: what *function* is, as the error calls it.
    :raises ConfigurationError: if it is asynchronous.
    """
    if is_async(function):
        name = getattr(function, "__qualname__", None) or repr(function)
        raise ConfigurationError(f"{what} {name:.200} is asynchronous: {_WHAT_TO_DO}")


def is_async(function: Any) -> bool:
    """Whether calling *function* gives something to be awaited, as far as its code tells."""
    return any(_is_marked(layer) for layer in _layers(function))


def refuse_awaitable(result: T, what: str) -> T:
    """Return *result*, unless it must be awaited.

    :param what: whose result it is, as the error calls it.
    :raises ConfigurationError: if it is a coroutine, another awaitable, or an asynchronous
        generator.
    """
    if type(result) in _PLAIN_TYPES or not _must_be_awaited(result):
        return result
    kind = type(result).__name__
    if isinstance(result, CoroutineType):
        result.close()  # else Python warns that it was never awaited, long after this
    raise ConfigurationError(f"{what} returned an awaitable ({kind}): {_WHAT_TO_DO}")


def _must_be_awaited(result: Any) -> bool:
    if hasattr(type(result), "__await__") or inspect.isasyncgen(result):
        return True
    return (
        isinstance(result, GeneratorType)
        and bool(result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)  # types.coroutine
    )


def _layers(function: Any) -> Iterator[Any]:
    """*function* and whatever it calls in the end, as far as that is known."""
    waiting = [function]
    seen: list[Any] = []
    while waiting:
        layer = waiting.pop()
        if any(layer is other for other in seen):
            continue
        seen.append(layer)
        yield layer
        waiting.extend(_inside(layer))


def _inside(layer: Any) -> Iterator[Any]:
    if isinstance(layer, (functools.partial, functools.partialmethod)):
        yield layer.func
    if isinstance(layer, (staticmethod, classmethod)) or inspect.ismethod(layer):
        yield layer.__func__
    # Only what is written on the object itself: mocks have every attribute.
    own = getattr(layer, "__dict__", {})
    for name in ("__wrapped__", "_partialmethod", "__partialmethod__"):
        if name in own:
            yield own[name]
    if not inspect.isroutine(layer) and not isinstance(layer, type):
        yield inspect.getattr_static(type(layer), "__call__", None)


def _is_marked(layer: Any) -> bool:
    if inspect.iscoroutinefunction(layer) or inspect.isasyncgenfunction(layer):
        return True
    if getattr(layer, "__dict__", {}).get("_is_coroutine") is not None:
        return True  # asyncio's own mark, which mocks and adapters bear
    code = getattr(layer, "__code__", None) if inspect.isfunction(layer) else None
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)
