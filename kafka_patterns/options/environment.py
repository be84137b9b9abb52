"""From environment variables to the mapping that is then structured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options.fields import Option, walk
from kafka_patterns.options.names import nearest
from kafka_patterns.options.problems import Problem
from kafka_patterns.options.refusals import REFUSALS

__all__ = ["EnvironmentSettings"]


class EnvironmentSettings:
    """What the environment variables with a prefix say.

    :ivar settings: nested mappings with canonical names, values parsed but not yet checked.
    :ivar problems: variables that are no option, or whose text cannot be parsed.
    """

    def __init__(self, root_class: type, prefix: str, environ: Mapping[str, str] | None) -> None:
        if not prefix:
            raise ConfigurationError(
                "from_env() needs a prefix: without one, every variable would be an option"
            )
        self.settings: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._prefix = prefix
        self._options = {self._variable(path): (path, option) for path, option in walk(root_class)}
        self._refused = {
            self._variable(f"{section}.{name}" if section else name): (section, name)
            for section, names in REFUSALS.items()
            for name in names
        }
        for variable, given in sorted((os.environ if environ is None else environ).items()):
            if variable.startswith(prefix):
                self._take(variable, given)

    def label(self, path: str) -> str:
        """A path with the name of its variable, as errors show it."""
        variable = self._variable(path)
        is_known = variable in self._options or variable in self._refused
        return f"{variable} ({path})" if is_known else path

    def _variable(self, path: str) -> str:
        return self._prefix + path.replace(".", "_").upper()

    def _take(self, variable: str, given: str) -> None:
        if variable in self._options:
            path, option = self._options[variable]
            self._take_option(variable, path, option, given)
        elif variable in self._refused:
            section, name = self._refused[variable]
            self._put([*filter(None, section.split(".")), name], _literal(given))
        else:
            self._note(variable, f"is not an option; {self._advice(variable)}")

    def _take_option(self, variable: str, path: str, option: Option, given: str) -> None:
        if option.kind.parse is None:
            of_what = (
                "its options one by one" if option.kind.nested else "it in code: it is an object"
            )
            self._note(variable, f"cannot be given as a text; give {of_what}")
            return
        try:
            value = option.kind.parse(given)
        except ValueError as error:
            self._note(variable, str(error))
        else:
            self._put(path.split("."), value)

    def _put(self, path: list[str], value: Any) -> None:
        settings = self.settings
        for depth, name in enumerate(path[:-1]):
            inner = settings.setdefault(name, {})
            if inner is True:
                inner = settings[name] = {}
            elif inner is False:
                above = self._variable(".".join(path[: depth + 1]))
                self._note(self._variable(".".join(path)), f"needs {above}=true")
                return
            settings = inner
        settings[path[-1]] = value

    def _advice(self, variable: str) -> str:
        close = nearest(variable, self._options)
        return f"did you mean {close}?" if close else "the reference of the options lists them"

    def _note(self, variable: str, text: str) -> None:
        self.problems.append(Problem(variable, text))


def _literal(given: str) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given
