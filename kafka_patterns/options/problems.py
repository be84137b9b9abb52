"""What is wrong with options, gathered so that one error tells all of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kafka_patterns.errors import ConfigurationError

__all__ = ["OptionsError", "Problem", "Rule", "must_be", "require", "shown", "shown_type"]

_LONGEST_SHOWN_TEXT = 60
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "less than": operator.lt,
}


class Problem(NamedTuple):
    """One thing that is wrong.

    :param path: dotted, as in ``consumer.session_timeout_ms``; ``""`` for the whole.
    :param text: what is wrong with it and what to do; reads on after the path.
    """

    path: str
    text: str


class OptionsError(ConfigurationError):
    """All the problems of one set of options, one line each.

    :param problems: at least one.
    :param label: how a path is shown; for options from the environment this adds the
        variable's name.
    """

    def __init__(self, problems: Iterable[Problem], label: Callable[[str], str] = str) -> None:
        self.problems = tuple(problems)
        lines = [f"{label(problem.path)} {problem.text}".strip() for problem in self.problems]
        if len(lines) > 1:
            listed = "".join(f"\n  - {line}" for line in lines)
            super().__init__(f"there are {len(lines)} problems with the options:{listed}")
        else:
            super().__init__(lines[0])


class Rule(NamedTuple):
    """What has to hold between the options of one section.

    :param holds: whether it does.
    :param path: the option it is about, seen from the section.
    :param text: what is wrong if it does not hold; reads on after the path.
    """

    holds: bool
    path: str
    text: str


def must_be(options: object, path: str, relation: str, other: str, why: str = "") -> Rule:
    """The rule that one number stands in a relation to another.

    :param relation: ``less than``, ``at least`` or ``at most``.
    :param why: reads on after the other's value.
    """
    value, bound = operator.attrgetter(path)(options), operator.attrgetter(other)(options)
    text = f"({value:,}) must be {relation} {other} ({bound:,}){why}"
    return Rule(_RELATIONS[relation](value, bound), path, text)


def require(*rules: Rule) -> None:
    """Raise one error for all rules that do not hold.

    :raises OptionsError: if a rule does not hold.
    """
    problems = [Problem(rule.path, rule.text) for rule in rules if not rule.holds]
    if problems:
        raise OptionsError(problems)


def shown(value: object) -> str:
    """A value as an error may show it: plain values shortened, of all others the type.

    What a mapping or an object holds is never shown, for it may be a secret.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        text = repr(value)
        return text if len(text) <= _LONGEST_SHOWN_TEXT else text[:_LONGEST_SHOWN_TEXT] + "...'"
    return shown_type(value)


def shown_type(value: object) -> str:
    """The type of a value, where the value itself may be a secret."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
