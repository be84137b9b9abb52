"""What a handler's signature asks for: the payload first, the context by name or annotation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import attrs
import pytest

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.server.binding import Binding, bind
from kafka_patterns.server.context import KafkaContext

CONTEXT: Any = object()
"""What the parameter of the context must get; handlers hand it back."""


@attrs.frozen
class Kill:
    dragon: int


class OwnContext(KafkaContext):
    pass


def call(function: Callable[..., Any]) -> Any:
    return bind(function).call(function, "payload", CONTEXT)


def payload_only(message):
    return message


def payload_and_context(message, context):
    return message, context


def annotated_context(message, anything: KafkaContext):
    return message, anything


def subclass_of_context(message, anything: OwnContext):
    return message, anything


def context_first(context, message):
    return message, context


def context_only(context):
    return "payload", context


def keyword_only(*, message, context):
    return message, context


def positional_only_payload(message, /, context):
    return message, context


def with_defaults(message, retries=3, *, context, verbose=False):
    assert (retries, verbose) == (3, False)
    return message, context


def with_stars(message, *args, context, **more):
    assert (args, more) == ((), {})
    return message, context


@pytest.mark.parametrize(
    "function",
    [
        payload_and_context,
        annotated_context,
        subclass_of_context,
        context_first,
        context_only,
        keyword_only,
        positional_only_payload,
        with_defaults,
        with_stars,
    ],
)
def test_payload_and_context_are_filled(function: Callable[..., Any]) -> None:
    assert call(function) == ("payload", CONTEXT)


def test_handler_without_parameters_is_called_without_any() -> None:
    assert call(lambda: "called") == "called"


def test_payload_alone_is_filled() -> None:
    assert call(payload_only) == "payload"


class TestAnnotations:
    def test_payload_without_annotation_stays_as_parsed(self) -> None:
        assert bind(payload_only).annotation is None

    def test_text_of_an_annotation_is_resolved(self) -> None:
        def handle(message: Kill, context: KafkaContext) -> None: ...

        assert handle.__annotations__["message"] == "Kill"
        assert bind(handle) == Binding("message", Kill, "context", positional_payload=True)

    def test_generic_annotation_is_kept(self) -> None:
        def handle(message: list[Kill]) -> None: ...

        assert bind(handle).annotation == list[Kill]

    def test_extras_of_an_annotation_are_kept(self) -> None:
        def handle(message: Annotated[int, "positive"]) -> None: ...

        assert bind(handle).annotation == Annotated[int, "positive"]

    def test_annotation_under_a_wrapping_decorator_is_seen(self) -> None:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **more: Any) -> Any:
                return function(*args, **more)

            return wrapper

        @decorate
        def handle(message: Kill, context: KafkaContext) -> Any:
            return message, context

        assert bind(handle).annotation is Kill
        assert call(handle) == ("payload", CONTEXT)

    @pytest.mark.parametrize(
        "annotation", ["Missing", "attrs.Missing", "list[", "1 + None", "Kill[int]"]
    )
    def test_annotation_that_cannot_be_resolved_is_refused(self, annotation: str) -> None:
        def handle(message) -> None: ...

        handle.__annotations__["message"] = annotation

        with pytest.raises(ConfigurationError, match="handle: an annotation cannot be resolved"):
            bind(handle)

    def test_local_type_is_refused_with_the_way_out(self) -> None:
        class Local: ...

        def handle(message: Local) -> None: ...

        with pytest.raises(ConfigurationError, match=r"'Local' is not defined.*at module level"):
            bind(handle)


class CallableHandler:
    def __call__(self, message: Kill, context: KafkaContext) -> Any:
        return message, context


class Controller:
    def method(self, message: Kill, context: KafkaContext) -> Any:
        return message, context

    @staticmethod
    def static(message: Kill, context: KafkaContext) -> Any:
        return message, context

    @classmethod
    def of_class(cls, message: Kill, context: KafkaContext) -> Any:
        return message, context


def with_service(service: str, message: Kill, context: KafkaContext) -> Any:
    assert service == "service"
    return message, context


def with_service_by_name(message: Kill, service: str, context: KafkaContext) -> Any:
    assert service == "service"
    return message, context


@pytest.mark.parametrize(
    "function",
    [
        CallableHandler(),
        Controller().method,
        Controller().static,
        Controller.of_class,
        functools.partial(with_service, "service"),
        functools.partial(with_service, service="service"),
        functools.partial(with_service_by_name, service="service"),
        functools.partial(functools.partial(with_service), "service"),
        functools.partial(Controller().method),
    ],
    ids=lambda target: type(target).__name__,
)
def test_callables_of_any_kind_are_bound_with_their_types(function: Callable[..., Any]) -> None:
    assert bind(function).annotation is Kill
    assert call(function) == ("payload", CONTEXT)


class TestRefusals:
    def test_parameter_that_nothing_can_fill_is_named(self) -> None:
        def handle(message, hero): ...

        with pytest.raises(ConfigurationError, match=r"handle: parameter 'hero' cannot be filled"):
            bind(handle)

    def test_second_context_cannot_be_filled(self) -> None:
        def handle(message, context, other: KafkaContext): ...

        with pytest.raises(ConfigurationError, match="'other' cannot be filled"):
            bind(handle)

    def test_keyword_without_default_cannot_be_filled(self) -> None:
        def handle(message, *, hero): ...

        with pytest.raises(ConfigurationError, match="'hero' cannot be filled"):
            bind(handle)

    def test_positional_only_context_is_refused(self) -> None:
        def handle(message, context, /): ...

        with pytest.raises(ConfigurationError, match="'context' must not be positional-only"):
            bind(handle)

    @pytest.mark.parametrize(
        "function",
        [
            lambda *args, **more: None,
            lambda *args: None,
            lambda **more: None,
            lambda *args, context: None,
        ],
    )
    def test_decorator_that_hides_the_signature_is_refused_with_the_way_out(
        self, function: Callable[..., Any]
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"name the payload.*@functools\.wraps"):
            bind(function)

    @pytest.mark.parametrize("thing", [5, "text", None])
    def test_what_cannot_be_called_is_refused(self, thing: Any) -> None:
        with pytest.raises(ConfigurationError, match="cannot be a handler"):
            bind(thing)
