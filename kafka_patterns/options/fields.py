"""What is known of each option beside its value: unit, aliases, what it maps to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options.hiding import show_without_secrets
from kafka_patterns.options.kinds import Kind, native_settings
from kafka_patterns.options.names import camel_case

__all__ = ["Option", "native_option", "option", "options_of", "walk"]

_METADATA_NAME = "kafka_patterns.option"


@attrs.frozen(kw_only=True)
class Option:
    """One option of one section.

    :param name: canonical: snake_case, Kafka's own word, durations end in ``_ms``.
    :param kind: how its values are read.
    :param unit: ``ms``, ``bytes``, or empty.
    :param aliases: the camelCase names that kafkajs and NestJS have for it.
    :param maps_to: the setting of kafka-python, or the part of this library that it steers.
    :param default: as the reference shows it.
    """

    name: str
    kind: Kind
    unit: str
    aliases: tuple[str, ...]
    maps_to: str
    default: str


def option(
    default: Any,
    kind: Kind,
    *,
    maps_to: str,
    unit: str = "",
    alias: str | tuple[str, ...] | None = None,
    default_text: str = "",
    show: Callable[[Any], str] | None = None,
) -> Any:
    """Declare an option in a section class.

    :param default: a value, or an ``attrs.Factory``, which needs a *default_text*.
    :param alias: camelCase names in place of the one that follows from the option's name.
    :param show: how ``repr`` shows the value, where it must not be shown as it is.
    """
    metadata = {
        "kind": kind,
        "unit": unit,
        "alias": (alias,) if isinstance(alias, str) else alias,
        "maps_to": maps_to,
        "default": default_text or _default_text(default),
    }
    return attrs.field(
        default=default,
        converter=attrs.Converter(_read, takes_self=True, takes_field=True),
        repr=show or True,
        metadata={_METADATA_NAME: metadata},
    )


def native_option(maps_to: str) -> Any:
    """Declare the option that hands kafka-python's own settings through."""
    return option(
        attrs.Factory(dict),
        native_settings(),
        maps_to=maps_to,
        default_text="`{}`",
        show=show_without_secrets,
    )


@functools.cache
def options_of(section_class: type) -> Mapping[str, Option]:
    """The options of a section by their canonical names, in the order of declaration."""
    fields = attrs.fields(cast("type[attrs.AttrsInstance]", section_class))
    return {field.name: _option_of(field) for field in fields}


def walk(section_class: type, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Option]]:
    """Every option of a section and of the sections in it, with its dotted path."""
    for name, known in options_of(section_class).items():
        path = (*above, name)
        yield ".".join(path), known
        if known.kind.nested is not None:
            yield from walk(known.kind.nested, path)


def _option_of(field: attrs.Attribute[Any]) -> Option:
    metadata = dict(field.metadata[_METADATA_NAME])
    alias = metadata.pop("alias")
    if alias is None:
        implied = camel_case(field.name)
        alias = () if implied == field.name else (implied,)
    return Option(name=field.name, aliases=alias, **metadata)


def _read(value: Any, instance: Any, field: attrs.Attribute[Any]) -> Any:
    try:
        return field.metadata[_METADATA_NAME]["kind"].read(value)
    except ValueError as error:
        where = f"{type(instance).__name__}.{field.name}"
        raise ConfigurationError(f"{where} {error}") from None


def _default_text(default: Any) -> str:
    if isinstance(default, int) and not isinstance(default, bool):
        return f"{default:,}"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"
