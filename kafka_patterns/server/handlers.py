"""Handlers: marked functions, methods and modules, ready to be called."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import attrs

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.failures.filters import ExceptionFilter, filters_of
from kafka_patterns.failures.idempotency import is_idempotent
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.serialization.typed import BodyReader
from kafka_patterns.server.binding import Binding, bind, name_of
from kafka_patterns.server.marks import HandlerMark, marks_of
from kafka_patterns.synchronous import refuse_async

__all__ = [
    "Handler",
    "handlers_of_controller",
    "handlers_of_module",
    "make_handler",
]


@attrs.frozen(eq=False)
class Handler:
    """A marked function with everything needed to call it.

    :param read_body: makes of a record's body what the function takes; of a batch, one of many.
    :param owner: the controller it is a method of.
    """

    mark: HandlerMark
    function: Callable[..., Any]
    binding: Binding
    read_body: BodyReader
    owner: Any = None

    @property
    def filters(self) -> tuple[ExceptionFilter, ...]:
        """Its own exception filters, then those of its class.

        Asked at each failure: ``@use_filters`` may stand above the decorator that registers.
        """
        of_class = () if self.owner is None else filters_of(type(self.owner))
        return filters_of(self.function) + of_class

    @property
    def name(self) -> str:
        """The function's name, for logs and errors."""
        return name_of(self.function)


def make_handler(
    mark: HandlerMark,
    function: Callable[..., Any],
    owner: Any = None,
    serialization: Serialization | None = None,
) -> Handler:
    """Bind *function*.

    :param serialization: the server's, which will read the payloads; the default one, if not given.
    :raises ConfigurationError: if its signature fits no handler, no payload can be read as its
        annotation, it is asynchronous, or one for batches is idempotent.
    """
    refuse_async(function, "handler")
    binding = bind(function)
    annotation = binding.annotation
    if mark.batch is not None:
        annotation = _element(annotation, name_of(function))
        if is_idempotent(function):
            raise ConfigurationError(
                f"batch handler {name_of(function)}: @idempotent keeps one reply for one message; "
                "leave it or batch= out"
            )
    try:
        read_body = (serialization or Serialization(None, None)).reader(
            annotation,
            pattern=mark.pattern,
            deserializer=mark.deserializer,
            converter=mark.converter,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"handler {name_of(function)}: {error}") from error
    return Handler(mark, function, binding, read_body, owner)


def _element(annotation: Any, name: str) -> Any:
    """What each payload of a batch is structured as, if the whole is annotated as a list."""
    if annotation is None or annotation is list:
        return None
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and issubclass(list, origin) and len(arguments) == 1:
        return arguments[0]
    raise ConfigurationError(
        f"batch handler {name}: its payload is annotated {annotation!r}, but it gets a "
        "list: write list[...]"
    )


def handlers_of_controller(
    controller: Any, serialization: Serialization | None = None
) -> Iterator[Handler]:
    """The handlers among the methods of *controller*, an instance of any class.

    :param serialization: as for :func:`make_handler`.

    :raises ConfigurationError: if it is a class, or none of its methods is marked.
    """
    if inspect.isclass(controller):
        raise ConfigurationError(
            f"add_controller takes an instance: write add_controller({controller.__name__}())"
        )
    found = False
    for name in _names_in_order(type(controller)):
        if not marks_of(inspect.getattr_static(type(controller), name)) and not marks_of(
            getattr(inspect.getattr_static(type(controller), name), "__func__", None)
        ):
            continue
        method = getattr(controller, name)
        for mark in marks_of(method):
            found = True
            yield make_handler(mark, method, controller, serialization)
    if not found:
        raise ConfigurationError(
            f"no method of {type(controller).__name__} is marked with @message_pattern or "
            "@event_pattern"
        )


def _names_in_order(cls: type) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        names.update(dict.fromkeys(vars(base)))
    return list(names)


def handlers_of_module(
    module: ModuleType, serialization: Serialization | None = None
) -> Iterator[Handler]:
    """The marked functions that *module* defines, in their order.

    :param serialization: as for :func:`make_handler`.

    :raises ConfigurationError: if there is none.
    """
    found = False
    distinct = {id(function): function for function in vars(module).values()}
    for function in distinct.values():
        if getattr(function, "__module__", None) == module.__name__:
            for mark in marks_of(function):
                found = True
                yield make_handler(mark, function, serialization=serialization)
    if not found:
        raise ConfigurationError(
            f"no function of module {module.__name__} is marked with @message_pattern or "
            "@event_pattern"
        )
