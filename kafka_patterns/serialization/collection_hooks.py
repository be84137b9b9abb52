"""Reading arrays and objects: a text is no list, an array is no object."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import (
    Set as AbstractSet,
)
from functools import wraps
from typing import Any, get_args, get_type_hints

from cattrs import Converter, IterableValidationError, IterableValidationNote

from kafka_patterns.serialization.json_forms import has_fields
from kafka_patterns.serialization.scalars import read_scalar
from kafka_patterns.serialization.strict_hooks import (
    Hook,
    MismatchError,
    origin_of,
    type_text,
)

__all__ = ["find_hook", "object_only", "register_collections", "structure_text"]

_ARRAYS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    deque: deque,
    Sequence: list,
    MutableSequence: list,
    Collection: list,
    Iterable: list,
    AbstractSet: frozenset,
    MutableSet: set,
}
_MAPPINGS: dict[Any, Callable[[dict[Any, Any]], Any]] = {
    dict: dict,
    Mapping: dict,
    MutableMapping: dict,
    OrderedDict: OrderedDict,
}


def register_collections(converter: Converter) -> None:
    """Make *converter* read arrays from arrays only and objects from objects only."""
    converter.register_structure_hook_factory(lambda kind: origin_of(kind) in _ARRAYS, _array_hook)
    converter.register_structure_hook_factory(_is_named_tuple, _named_tuple_hook)
    converter.register_structure_hook_factory(lambda kind: origin_of(kind) in _MAPPINGS, _map_hook)
    converter.register_structure_hook_factory(_has_fields, _fields_hook)


def find_hook(kind: Any, converter: Converter) -> Hook:
    """Return the hook for *kind*, looked up later if *kind* is just being worked out."""
    try:
        return converter.get_structure_hook(kind)
    except RecursionError:
        return converter.structure


def structure_text(text: str, kind: Any, hook: Hook) -> Any:
    """Read a bare text, in which numbers and truth values have lost their type.

    Where *kind* takes a text, it stays one; else it is read as a number or a truth value.
    """
    if kind not in (int, float, bool):
        try:
            return hook(text, kind)
        except Exception:
            if read_scalar(text) is None:
                raise
    scalar = read_scalar(text)
    return hook(text if scalar is None else scalar, kind)


def _has_fields(kind: Any) -> bool:
    origin = origin_of(kind)
    return isinstance(origin, type) and has_fields(origin)


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _require_array(value: Any, annotation: Any) -> None:
    if isinstance(value, (set, frozenset, deque)) and isinstance(value, origin_of(annotation)):
        return  # JSON has none, but other formats do
    if not isinstance(value, (list, tuple)):
        raise MismatchError(f"an array for {type_text(annotation)}", value)


def _array_hook(annotation: Any, converter: Converter) -> Hook:
    build = _ARRAYS[origin_of(annotation)]
    kinds = get_args(annotation)
    if origin_of(annotation) is tuple and kinds and kinds[-1] is not Ellipsis:
        return _fixed_array_hook(annotation, kinds, tuple, len(kinds), converter)
    kind = kinds[0] if kinds else Any
    hook = find_hook(kind, converter)

    def structure_array(value: Any, _: Any) -> Any:
        _require_array(value, annotation)
        if kind is Any:
            return build(value)
        return build(_structure_items(annotation, [(item, hook, kind) for item in value]))

    return structure_array


def _named_tuple_hook(cls: Any, converter: Converter) -> Hook:
    hints = get_type_hints(cls, include_extras=True)
    kinds = tuple(hints.get(name, Any) for name in cls._fields)
    required = len(kinds) - len(cls._field_defaults)
    return _fixed_array_hook(cls, kinds, lambda items: cls(*items), required, converter)


def _fixed_array_hook(
    annotation: Any,
    kinds: tuple[Any, ...],
    build: Callable[[list[Any]], Any],
    required: int,
    converter: Converter,
) -> Hook:
    hooks = [(find_hook(kind, converter), kind) for kind in kinds]

    def structure_fixed_array(value: Any, _: Any) -> Any:
        _require_array(value, annotation)
        if not required <= len(value) <= len(kinds):
            expected = f"{len(kinds)} items for {type_text(annotation)}, not {len(value)}"
            raise MismatchError(expected, value)
        items = [(item, hook, kind) for item, (hook, kind) in zip(value, hooks, strict=False)]
        return build(_structure_items(annotation, items))

    return structure_fixed_array


def _structure_items(annotation: Any, items: list[tuple[Any, Hook, Any]]) -> list[Any]:
    result: list[Any] = []
    errors: list[Exception] = []
    for index, (item, hook, kind) in enumerate(items):
        try:
            result.append(hook(item, kind))
        except Exception as error:  # noqa: BLE001 - all are collected and reported at once
            errors.append(_placed(error, index, kind))
    if errors:
        raise IterableValidationError(f"not a {type_text(annotation)}", errors, annotation)
    return result


def _placed(error: Exception, index: int | str, kind: Any) -> Exception:
    """Tell cattrs where *error* happened, in the way its own hooks do."""
    note = IterableValidationNote(f"reading item {index!r}", index, kind)
    noted: Any = error
    noted.__notes__ = [*getattr(error, "__notes__", []), note]
    return error


def _map_hook(annotation: Any, converter: Converter) -> Hook:
    build = _MAPPINGS[origin_of(annotation)]
    key_kind, kind = get_args(annotation) or (Any, Any)
    key_hook, hook = find_hook(key_kind, converter), find_hook(kind, converter)

    def structure_map(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise MismatchError(f"an object for {type_text(annotation)}", value)
        result: dict[Any, Any] = {}
        errors: list[Exception] = []
        for name, item in value.items():
            try:
                result[_structure_key(name, key_kind, key_hook)] = hook(item, kind)
            except Exception as error:  # noqa: BLE001 - all are collected and reported at once
                errors.append(_placed(error, name, kind))
        if errors:
            raise IterableValidationError(f"not a {type_text(annotation)}", errors, annotation)
        return build(result)

    return structure_map


def _structure_key(name: Any, kind: Any, hook: Hook) -> Any:
    return structure_text(name, kind, hook) if isinstance(name, str) else hook(name, kind)


def _fields_hook(annotation: Any, converter: Converter) -> Hook:
    return object_only(
        converter.gen_structure_attrs_fromdict(annotation), instances_of=origin_of(annotation)
    )


def object_only(hook: Hook, *, instances_of: type | tuple[type, ...] = ()) -> Hook:
    """Return *hook*, refusing what is no object.

    :param instances_of: what a deserializer may have made already, and passes as it is.
    """

    @wraps(hook)  # cattrs keeps the renamed fields as an attribute of the function
    def structure_object(value: Any, kind: Any) -> Any:
        if isinstance(value, instances_of):
            return value
        if not isinstance(value, Mapping):
            raise MismatchError(f"an object for {type_text(kind)}", value)
        return hook(value, kind)

    return structure_object
