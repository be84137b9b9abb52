"""Reading unions: the most exact member that takes a value gets it."""

from __future__ import annotations

import types
from enum import Enum
from typing import Any, Literal, Union, get_args

from cattrs import BaseValidationError, Converter
from cattrs.disambiguators import create_default_dis_func

from kafka_patterns.serialization.collection_hooks import find_hook
from kafka_patterns.serialization.json_forms import has_fields
from kafka_patterns.serialization.strict_hooks import (
    Hook,
    MismatchError,
    literal_hook,
    origin_of,
    type_text,
)

__all__ = ["register_unions"]

_LITERALS, _SCALARS, _OBJECTS, _COLLECTIONS, _TEXTS, _ANYTHING = range(6)
_RANKS: dict[Any, float] = {
    bool: _SCALARS + 0.1,
    int: _SCALARS + 0.2,
    float: _SCALARS + 0.3,
    str: _TEXTS,
    Any: _ANYTHING,
    object: _ANYTHING,
}


def register_unions(converter: Converter) -> None:
    """Make *converter* read unions of any members, ``Optional`` and ``Literal``.

    The order of the members has no meaning, for Python itself does not keep it: literals
    and enums come first, then numbers, then types with a text form, classes, collections,
    and text last. Among several classes cattrs decides, by a ``Literal`` field that they
    share or by the fields that only one of them has.
    """
    converter.register_structure_hook_factory(
        lambda kind: origin_of(kind) in (Union, types.UnionType), _union_hook
    )
    converter.register_structure_hook_factory(lambda kind: origin_of(kind) is Literal, literal_hook)


def _union_hook(annotation: Any, converter: Converter) -> Hook:
    members = [kind for kind in get_args(annotation) if kind is not type(None)]
    nullable = len(members) < len(get_args(annotation))
    arms = _arms(members, converter)
    expected = " or ".join(map(type_text, get_args(annotation)))

    def structure_union(value: Any, _: Any) -> Any:
        if value is None and nullable:
            return None
        errors: list[Exception] = []
        for hook, kind in arms:
            try:
                return hook(value, kind)
            except Exception as error:  # noqa: BLE001 - another member may take the value
                errors.append(error)
        raise _only_deep_error(errors) or MismatchError(expected, value)

    return structure_union


def _arms(members: list[Any], converter: Converter) -> list[tuple[Hook, Any]]:
    ranked = sorted(members, key=_rank)
    classes = tuple(kind for kind in ranked if _is_class_with_fields(kind))
    if len(classes) < 2:
        return [(find_hook(kind, converter), kind) for kind in ranked]
    others = [(find_hook(kind, converter), kind) for kind in ranked if kind not in classes]
    before = sum(_rank(kind) < _OBJECTS for _, kind in others)
    either = (_either_class_hook(classes, converter), Any)
    return [*others[:before], either, *others[before:]]


def _rank(kind: Any) -> float:
    origin = origin_of(kind)
    if origin in _RANKS:
        return _RANKS[origin]
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, Enum)):
        return _LITERALS
    if _is_class_with_fields(kind):
        return _OBJECTS
    return _COLLECTIONS if get_args(kind) or origin in (dict, list, set) else _SCALARS + 0.4


def _is_class_with_fields(kind: Any) -> bool:
    origin = origin_of(kind)
    return isinstance(origin, type) and has_fields(origin)


def _either_class_hook(classes: tuple[Any, ...], converter: Converter) -> Hook:
    choose = create_default_dis_func(converter, *classes)
    instances = tuple(map(origin_of, classes))
    expected = " or ".join(map(type_text, classes))

    def structure_either(value: Any, _: Any) -> Any:
        if isinstance(value, instances):
            return value
        try:
            cls: Any = choose(value)
        except (KeyError, TypeError, ValueError):
            raise MismatchError(f"an object with the fields of {expected}", value) from None
        return converter.structure(value, cls)

    return structure_either


def _only_deep_error(errors: list[Exception]) -> Exception | None:
    """Return the error that names the bad field, if only one member came so far."""
    if len(errors) == 1:
        return errors[0]
    deep = [error for error in errors if isinstance(error, BaseValidationError)]
    return deep[0] if len(deep) == 1 else None
