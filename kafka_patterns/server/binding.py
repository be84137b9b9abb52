"""What a handler function wants: the payload, as which type, and the context."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import attrs

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.server.context import KafkaContext

__all__ = ["Binding", "bind", "name_of"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_STAR = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@attrs.frozen
class Binding:
    """How to call one handler.

    :param payload: the name of its payload parameter, or ``None`` if it takes none.
    :param annotation: the type the payload is structured as; ``None`` for the parsed value.
    :param context: the name of its context parameter, or ``None``.
    """

    payload: str | None
    annotation: Any
    context: str | None
    positional_payload: bool = False

    def call(self, function: Callable[..., Any], payload: Any, context: KafkaContext) -> Any:
        """Call *function* with what it wants."""
        named: dict[str, Any] = {}
        if self.context is not None:
            named[self.context] = context
        if self.payload is None:
            return function(**named)
        if self.positional_payload:
            return function(payload, **named)
        named[self.payload] = payload
        return function(**named)


def bind(function: Callable[..., Any]) -> Binding:
    """Read the signature of a handler.

    The payload comes first; a parameter annotated ``KafkaContext`` or named ``context`` gets
    the context.

    :raises ConfigurationError: if it has parameters that nothing can fill, annotations that
        cannot be resolved, or ``*`` parameters and no other for the payload.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name_of(function)} cannot be a handler: {error}") from error
    function, filled = _without_partials(function)
    parameters = [p for p in signature.parameters.values() if p.name not in filled]
    hints = _hints(function)
    context = next((p for p in parameters if _is_context(p, hints)), None)
    others = [p for p in parameters if p is not context and p.kind not in _STAR]
    payload = others[0] if others else None
    if payload is None and any(p.kind in _STAR for p in parameters):
        raise ConfigurationError(
            f"handler {name_of(function)}: '*' parameters do not tell what it takes, nor as which "
            "type; name the payload. If this is the inner function of a decorator, put "
            "@functools.wraps on it, which shows the signature of the handler inside"
        )
    for parameter in others[1:]:
        if parameter.default is inspect.Parameter.empty:
            raise ConfigurationError(
                f"handler {name_of(function)}: parameter {parameter.name!r} cannot be filled; a "
                "handler takes the payload and, named 'context' or annotated KafkaContext, the "
                "context"
            )
    if context is not None and context.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ConfigurationError(
            f"handler {name_of(function)}: the context parameter {context.name!r} must not be "
            "positional-only"
        )
    return Binding(
        None if payload is None else payload.name,
        None if payload is None else hints.get(payload.name),
        None if context is None else context.name,
        positional_payload=payload in parameters[:1] and payload.kind in _POSITIONAL,
    )


def _without_partials(function: Callable[..., Any]) -> tuple[Callable[..., Any], set[str]]:
    """The function inside, and the parameters that its partials fill by name."""
    filled: set[str] = set()
    while isinstance(function, functools.partial):
        filled.update(function.keywords)
        function = function.func
    return function, filled


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target: Any = function
    if not inspect.isroutine(function):
        target = type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except Exception as error:
        raise ConfigurationError(
            f"handler {name_of(function)}: an annotation cannot be resolved: {error}. Types of "
            "handlers must be importable at module level"
        ) from error


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    if parameter.kind in _STAR:
        return False
    hint = hints.get(parameter.name)
    if isinstance(hint, type) and issubclass(hint, KafkaContext):
        return True
    return parameter.name == "context"


def name_of(function: Callable[..., Any]) -> str:
    """What logs and errors call a handler."""
    return getattr(function, "__qualname__", repr(function))
