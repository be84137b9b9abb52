"""From a mapping to options: names first, then values by cattrs, one error for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from kafka_patterns.options.fields import Option, options_of
from kafka_patterns.options.problems import OptionsError, Problem, shown
from kafka_patterns.options.resolution import NameResolution

__all__ = ["structure"]

OptionsClass = TypeVar("OptionsClass")


def structure(
    source: object,
    options_class: type[OptionsClass],
    *,
    found_before: Iterable[Problem] = (),
    label: Callable[[str], str] = str,
) -> OptionsClass:
    """Return the options that *source* stands for; it is not changed.

    :param source: a mapping; anything else is an error.
    :param found_before: problems that are told together with those found here.
    :param label: how errors show a path.
    :raises OptionsError: one for everything that is wrong.
    """
    if not isinstance(source, Mapping):
        expects = f"must be a mapping or {options_class.__name__}"
        raise OptionsError([Problem("the options", f"{expects}, not {shown(source)}")])
    resolution = NameResolution(options_class)
    settings = resolution.resolve(source)
    problems = [*found_before, *resolution.problems]
    try:
        options = _converter().structure(settings, options_class)
    except cattrs.BaseValidationError as error:
        # A rule between two options says nothing as long as one of them may be misspelt.
        found = [problem for problem, is_rule in _flattened(error) if not (is_rule and problems)]
        raise OptionsError([*problems, *found], label) from None
    if problems:
        raise OptionsError(problems, label)
    return options


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    converter.register_structure_hook_factory(attrs.has, lambda cls: _section_hook(cls, converter))
    return converter


def _section_hook(
    section_class: type, converter: cattrs.Converter
) -> Callable[[Mapping[str, Any], Any], Any]:
    hooks = {
        name: _option_hook(option, converter) for name, option in options_of(section_class).items()
    }
    # cattrs calls an argument of its own like this option, which so has its hook by its type.
    if "converter" in hooks:
        converter.register_structure_hook_func(_is_converter, hooks.pop("converter"))
    overrides: dict[str, Any] = {name: override(struct_hook=hook) for name, hook in hooks.items()}
    return make_dict_structure_fn(section_class, converter, **overrides)


def _is_converter(kind: Any) -> bool:
    return bool(kind == cattrs.Converter | None)


def _option_hook(option: Option, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        if option.kind.nested is not None and isinstance(value, Mapping):
            return converter.structure(value, option.kind.nested)
        return option.kind.read(value)

    return read


def _flattened(
    error: cattrs.BaseValidationError, path: tuple[str, ...] = ()
) -> Iterator[tuple[Problem, bool]]:
    """Every problem with its full path, and whether it is a rule between several options."""
    with_names, rules = error.group_exceptions()
    for exception, note in with_names:
        inner = (*path, note.name)
        if isinstance(exception, cattrs.BaseValidationError):
            yield from _flattened(exception, inner)
        else:
            yield Problem(".".join(inner), str(exception)), False
    for exception in rules:
        for problem in exception.problems:
            yield problem._replace(path=".".join((*path, problem.path))), True
