"""Reading objects as a ``TypedDict``.

cattrs takes every field of a ``TypedDict`` for required whose module says
``from __future__ import annotations``, for there Python does not see ``NotRequired`` in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
)

from kafka_patterns.serialization.collection_hooks import find_hook, object_only
from kafka_patterns.serialization.strict_hooks import Hook, origin_of

__all__ = ["register_typed_dicts"]


def register_typed_dicts(converter: Converter) -> None:
    """Make *converter* read a ``TypedDict`` from objects only, whatever its module imports."""
    converter.register_structure_hook_factory(_is_typed_dict, _typed_dict_hook)


def _is_typed_dict(kind: Any) -> bool:
    # Not is_typeddict(): that of typing does not know those of typing_extensions.
    origin = origin_of(kind)
    return isinstance(origin, type) and issubclass(origin, dict) and hasattr(origin, "__total__")


def _typed_dict_hook(annotation: Any, converter: Converter) -> Hook:
    if get_args(annotation):
        return object_only(converter.gen_structure_typeddict(annotation))
    fields = _fields(annotation, converter)

    def structure_typed_dict(value: Mapping[str, Any], _: Any) -> dict[str, Any]:
        result = dict(value)
        errors: list[Exception] = []
        for name, (hook, kind, required) in fields.items():
            if name in value or required:
                try:
                    result[name] = hook(value[name], kind)
                except Exception as error:  # noqa: BLE001 - all are collected and reported at once
                    errors.append(_placed(error, name, kind))
        unknown = value.keys() - fields.keys()
        if unknown and converter.forbid_extra_keys:
            errors.append(ForbiddenExtraKeysError(None, annotation, unknown))
        if errors:
            raise ClassValidationError(f"not a {annotation.__name__}", errors, annotation)
        return result

    return object_only(structure_typed_dict)


def _fields(cls: Any, converter: Converter) -> dict[str, tuple[Hook, Any, bool]]:
    fields = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        kind, required = hint, name not in cls.__optional_keys__
        while (qualifier := _qualifier(kind)) is not None:
            kind = get_args(kind)[0]
            required = {"Required": True, "NotRequired": False}.get(qualifier, required)
        fields[name] = (find_hook(kind, converter), kind, required)
    return fields


def _qualifier(hint: Any) -> str | None:
    name = repr(get_origin(hint)).rpartition(".")[2]
    return name if name in ("Required", "NotRequired", "ReadOnly") else None


def _placed(error: Exception, name: str, kind: Any) -> Exception:
    noted: Any = error
    note = AttributeValidationNote(f"reading field {name!r}", name, kind)
    noted.__notes__ = [*getattr(error, "__notes__", []), note]
    return error
