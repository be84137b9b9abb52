"""Typed payloads: parsed JSON to objects and back, by annotations, with strict scalars."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, NoReturn, get_args, get_origin
from uuid import UUID

from cattrs import Converter, StructureHandlerNotFoundError, transform_error

from kafka_patterns.errors import ConfigurationError, PayloadError
from kafka_patterns.serialization.collection_hooks import register_collections, structure_text
from kafka_patterns.serialization.json_forms import has_fields
from kafka_patterns.serialization.json_writer import default_writer
from kafka_patterns.serialization.strict_hooks import (
    Hook,
    MismatchError,
    origin_of,
    register_scalars,
    type_text,
)
from kafka_patterns.serialization.typed_dict_hooks import register_typed_dicts
from kafka_patterns.serialization.union_hooks import register_unions

__all__ = [
    "BodyReader",
    "as_parsed",
    "body_reader",
    "check_annotation",
    "make_converter",
    "structure",
    "structure_body",
    "unstructure",
]

BodyReader = Callable[[bytes | None, Any], Any]
"""Given the raw body of a record and what the deserializer made of it, returns the payload."""

_MAX_PROBLEMS = 5
_JSON_VALUES: tuple[Any, ...] = (None, True, 1, 1.5, "", b"", [], {})
_COLLECTIONS = (list, tuple, dict, set, frozenset, deque)
_TYPES_WITH_FORM = (
    Enum,
    date,
    datetime,
    time,
    Decimal,
    UUID,
    set,
    frozenset,
    bytes,
    bytearray,
    memoryview,
)


def make_converter(**settings: Any) -> Converter:
    """Return a new cattrs converter with strict scalars and the documented JSON forms.

    Hooks of your own go on top of them.

    :param settings: what ``cattrs.Converter`` takes, such as ``forbid_extra_keys=True``
        (default: unknown fields of an object are ignored).
    """
    converter = Converter(**settings)
    register_scalars(converter)
    register_collections(converter)
    register_typed_dicts(converter)
    register_unions(converter)
    converter.register_unstructure_hook(bytes, default_writer.form)
    converter.register_unstructure_hook(str, _unstructure_str)
    converter.register_unstructure_hook_factory(_has_form, _unstructure_factory)
    return converter


@lru_cache(maxsize=1)
def _default_converter() -> Converter:
    return make_converter()


@lru_cache(maxsize=1)
def _converter_of_objects() -> Converter:
    """For deserializers that make objects: a class without a hook takes its own instances."""
    return make_converter(structure_fallback_factory=_instance_hook)


def _instance_hook(cls: Any) -> Hook:
    if not isinstance(cls, type):
        raise StructureHandlerNotFoundError(f"Unsupported type: {cls!r}", cls)

    def structure_instance(value: Any, kind: Any) -> Any:
        if isinstance(value, cls):
            return value
        raise MismatchError(type_text(kind), value)

    return structure_instance


def _has_form(cls: Any) -> bool:
    return isinstance(cls, type) and (issubclass(cls, _TYPES_WITH_FORM) or has_fields(cls))


def _unstructure_factory(_: Any, converter: Converter) -> Callable[[Any], Any]:
    return lambda value: converter.unstructure(default_writer.form(value))


def _unstructure_str(value: str) -> Any:
    return value.value if isinstance(value, Enum) else value


def unstructure(value: Any, *, converter: Converter | None = None) -> Any:
    """Return *value* as plain data, in the documented JSON forms.

    Objects of a type without a JSON form stay as they are.

    :raises PayloadError: if something in *value* cannot take its form, such as a moment that
        in UTC lies outside the years 1 to 9999.
    """
    try:
        return (converter or _default_converter()).unstructure(value)
    except Exception as error:
        raise PayloadError(
            f"an object of {type(value).__qualname__} cannot become plain data: {error}"
        ) from error


def structure(value: Any, annotation: Any, *, converter: Converter | None = None) -> Any:
    """Return *value*, which is plain data, as *annotation* asks.

    :param value: what JSON gives: objects, arrays, texts, numbers, truth values, nulls.
    :raises PayloadError: if it does not fit; names each bad field by its path and says what
        was expected there.
    :raises ConfigurationError: if no value can be read as *annotation*.
    """
    hook = _hook(annotation, converter)
    try:
        return hook(value, annotation)
    except Exception as error:  # noqa: BLE001  hooks may raise anything
        _refuse(error, annotation)


def check_annotation(
    annotation: Any, *, converter: Converter | None = None, gives_objects: bool = False
) -> None:
    """Check that payloads can be read as *annotation*, before the first one arrives.

    :param gives_objects: whether the deserializer may make objects: then its own instances are
        enough for a class that the converter cannot make.
    :raises ConfigurationError: if not, with the reason.
    """
    annotation = _bare(annotation)
    if _takes_parsed(annotation) or _raw_kind(annotation) is not None:
        return
    if not (gives_objects and _own_class(annotation)):
        _hook(annotation, _chosen(converter, gives_objects=gives_objects))


def structure_body(
    record_value: bytes | None,
    parsed: Any,
    annotation: Any,
    *,
    converter: Converter | None = None,
) -> Any:
    """Return the body of a record as *annotation* asks.

    No annotation, ``None``, ``Any`` and ``dict`` take *parsed* as it is; ``str`` takes the
    raw body decoded as UTF-8, ``bytes`` the raw body. The wire writes numbers and truth
    values as text: where the annotation takes no text but a number or a ``bool``, ``5``,
    ``5.9`` and ``true`` are read as such, exactly.

    :param record_value: the raw body.
    :param parsed: what the deserializer made of it.
    :raises PayloadError: if the body does not fit.
    :raises ConfigurationError: if no body can be read as *annotation*.
    """
    if annotation is None:
        return parsed
    return body_reader(annotation, converter=converter)(record_value, parsed)


def body_reader(
    annotation: Any, *, converter: Converter | None = None, gives_objects: bool = False
) -> BodyReader:
    """Return :func:`structure_body` for one *annotation*, which is looked at once.

    An instance of the annotated class is taken as it is.

    :param gives_objects: as for :func:`check_annotation`.
    """
    annotation = _bare(annotation)
    if _takes_parsed(annotation):
        return as_parsed
    raw_kind = _raw_kind(annotation)
    if raw_kind is not None:
        return lambda record_value, _: _raw_body(record_value, raw_kind, annotation)

    own_class = _own_class(annotation)
    chosen = _chosen(converter, gives_objects=gives_objects)

    def read(_: bytes | None, parsed: Any) -> Any:
        if own_class is not None and isinstance(parsed, own_class):
            return parsed
        try:
            hook = _hook(annotation, chosen)
        except ConfigurationError as error:
            if gives_objects:  # else it was refused before
                raise PayloadError(f"{error}; got {type(parsed).__qualname__}") from error
            raise
        try:
            if isinstance(parsed, str):
                return structure_text(parsed, annotation, hook)
            return hook(parsed, annotation)
        except Exception as error:  # noqa: BLE001  hooks may raise anything
            _refuse(error, annotation)

    return read


def as_parsed(_: bytes | None, parsed: Any) -> Any:
    """The body as the deserializer read it."""
    return parsed


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated or hasattr(annotation, "__supertype__"):
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            annotation = annotation.__supertype__
    return annotation


def _chosen(converter: Converter | None, *, gives_objects: bool) -> Converter | None:
    return _converter_of_objects() if converter is None and gives_objects else converter


def _own_class(annotation: Any) -> type | None:
    """The annotated class, if nothing that JSON gives is an instance of it."""
    cls = origin_of(annotation)
    if not isinstance(cls, type) or issubclass(cls, _COLLECTIONS):
        return None
    try:
        is_of_json = any(isinstance(value, cls) for value in _JSON_VALUES)
    except TypeError:  # a protocol that cannot be asked
        return None
    return None if is_of_json else cls


def _takes_parsed(annotation: Any) -> bool:
    return annotation in (None, Any, dict, object, inspect.Parameter.empty)


def _raw_kind(annotation: Any) -> type | None:
    for kind in (str, bytes):
        if annotation is kind or set(get_args(annotation)) == {kind, type(None)}:
            return kind
    return None


def _raw_body(record_value: bytes | None, kind: type, annotation: Any) -> Any:
    if record_value is None:
        if annotation is kind:
            raise PayloadError(
                f"the payload is not a valid {kind.__name__}: it is null; "
                f"annotate it as '{kind.__name__} | None' to allow that"
            )
        return None
    if kind is bytes:
        return record_value
    try:
        return record_value.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"the payload is not a valid str: no UTF-8 at byte {error.start} ({error.reason}); "
            "annotate it as bytes to take it raw"
        ) from error


def _hook(annotation: Any, converter: Converter | None) -> Hook:
    try:
        return (converter or _default_converter()).get_structure_hook(annotation)
    except Exception as error:
        raise ConfigurationError(
            f"no payload can be read as {type_text(annotation)}: {str(error).rstrip('.')}. Use "
            "plain types, attrs classes or dataclasses, or give converter= one with a hook for it"
        ) from error


def _refuse(error: Exception, annotation: Any) -> NoReturn:
    if isinstance(error, PayloadError):
        raise error
    what = f"the payload is not a valid {type_text(annotation)}"
    try:
        problems = transform_error(error, format_exception=_problem_text)
    except RecursionError:
        # The chain of an error that is nested so deeply could not be printed.
        raise PayloadError(f"{what}: it is nested too deeply") from None
    raise PayloadError(f"{what}: {_joined(problems)}") from error


def _joined(problems: list[str]) -> str:
    more = len(problems) - _MAX_PROBLEMS
    shown = [problem.removesuffix(" @ $") for problem in problems[:_MAX_PROBLEMS]] + [
        f"and {more} more"
    ] * (more > 0)
    return "; ".join(shown)


def _problem_text(error: BaseException, _: type | None) -> str:
    if isinstance(error, RecursionError):
        raise error
    if isinstance(error, KeyError):
        return "required field missing"
    # The validators of attrs raise errors with a text and then the things it is about.
    first = error.args[0] if error.args else ""
    return (first if isinstance(first, str) else "") or str(error) or type(error).__name__
