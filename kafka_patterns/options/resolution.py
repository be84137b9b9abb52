"""From the names that somebody wrote to the canonical ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_patterns.options.fields import Option, options_of, walk
from kafka_patterns.options.names import nearest
from kafka_patterns.options.problems import Problem, shown
from kafka_patterns.options.refusals import KAFKA_NAMES, refused_as

__all__ = ["NameResolution"]


class NameResolution:
    """Gives options their canonical names and gathers what is wrong with the names.

    :param root_class: the class of all options.
    """

    def __init__(self, root_class: type) -> None:
        self.problems: list[Problem] = []
        self._root_class = root_class

    def resolve(
        self, source: Mapping[Any, Any], section_class: type | None = None, path: str = ""
    ) -> dict[str, Any]:
        """A copy of *source* that holds canonical names only; values are left as they are."""
        known = _by_any_name(section_class or self._root_class)
        resolved: dict[str, Any] = {}
        first_spelling: dict[str, str] = {}
        for name, value in source.items():
            found = known.get(name) if isinstance(name, str) else None
            if found is None:
                self._note_stranger(name, value, known, path)
            elif found.name in resolved:
                given = f"{first_spelling[found.name]} and as {name}"
                self._note(path, found.name, f"is given twice, as {given}: leave one out")
            else:
                first_spelling[found.name] = name
                resolved[found.name] = self._resolve_value(found, value, path)
        return resolved

    def _resolve_value(self, found: Option, value: Any, path: str) -> Any:
        if found.kind.nested is None or not isinstance(value, Mapping):
            return value
        return self.resolve(value, found.kind.nested, _joined(path, found.name))

    def _note_stranger(
        self, name: object, value: Any, known: Mapping[str, Option], path: str
    ) -> None:
        if not isinstance(name, str):
            self._note("", path or "the options", f"must have names as keys, not {shown(name)}")
            return
        refused = refused_as(path, name)
        if refused is None:
            self._note(path, name, f"is not an option; {self._advice(name, known, path)}")
        elif not refused[1].accepts(value):
            self._note(path, name, f"cannot be honoured: {refused[1].reason}")

    def _advice(self, name: str, known: Mapping[str, Option], path: str) -> str:
        meant = [KAFKA_NAMES[name]] if name in KAFKA_NAMES else self._elsewhere(name)
        close = nearest(name, known)
        if close and not meant:
            meant = [_joined(path, known[close].name)]
        if meant:
            return f"did you mean {' or '.join(meant)}?"
        names = ", ".join(dict.fromkeys(option.name for option in known.values()))
        return f"known are {names}"

    def _elsewhere(self, name: str) -> list[str]:
        return [
            path
            for path, option in walk(self._root_class)
            if name in (option.name, *option.aliases)
        ]

    def _note(self, path: str, name: str, text: str) -> None:
        self.problems.append(Problem(_joined(path, name), text))


def _by_any_name(section_class: type) -> dict[str, Option]:
    return {
        name: option
        for option in options_of(section_class).values()
        for name in (option.name, *option.aliases)
    }


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
