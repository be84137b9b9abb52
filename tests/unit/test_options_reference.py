"""docs/reference/options.md says of every option exactly what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafka_patterns.options import KafkaOptions
from kafka_patterns.options.fields import options_of
from kafka_patterns.options.names import camel_case
from kafka_patterns.options.refusals import KAFKA_NAMES, REFUSALS
from tests.unit.option_values import OPTIONS, SECTIONS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
OPTION_TABLE = (
    "| Option | Unit | Default | Alias | Maps to | Meaning |",
    "|---|---|---|---|---|---|",
)
REFUSAL_TABLE = ("| Option | Alias | Accepted as | Why |", "|---|---|---|---|")
NAME_TABLE = ("| Kafka's name | Here |", "|---|---|")
CLASSES = {"": KafkaOptions} | {path: OPTIONS[path].kind.nested for path in sorted(SECTIONS)}


def meanings(section_class):
    """What the docstring of a section says of each option."""
    paragraphs = re.split(r"\n\s*:param (\w+):", section_class.__doc__)
    return dict(zip(paragraphs[1::2], map(one_line, paragraphs[2::2]), strict=True))


def one_line(text):
    sentence = " ".join(text.split()).replace("``", "`")
    return sentence[0].upper() + sentence[1:]


def code(names):
    return ", ".join(f"`{name}`" for name in names)


def option_rows(section_class):
    meaning = meanings(section_class)
    return [
        f"| `{name}` | {option.unit} | {option.default} | {code(option.aliases)} "
        f"| {option.maps_to} | {meaning[name]} |"
        for name, option in options_of(section_class).items()
    ]


def refusal_rows():
    return [
        f"| `{f'{section}.{name}'.lstrip('.')}` "
        f"| {code({camel_case(name)} - {name})} "
        f"| {code(repr(value) for value in refusal.harmless)} "
        f"| {refusal.reason} |"
        for section, names in REFUSALS.items()
        for name, refusal in names.items()
    ]


def section_of_page(heading):
    """The lines of the table under a heading."""
    page = REFERENCE.read_text(encoding="utf-8")
    _, _, below = page.partition(f"\n{heading}\n")
    until_next = re.split(r"\n#+ ", below)[0]
    return [line for line in until_next.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("path", CLASSES)
def test_the_reference_lists_every_option_as_it_is(path):
    heading = f"### `{path}`" if path else "### The top level"

    assert section_of_page(heading) == [*OPTION_TABLE, *option_rows(CLASSES[path])]


def test_the_reference_lists_what_is_refused():
    assert section_of_page("## What is refused") == [*REFUSAL_TABLE, *refusal_rows()]


def test_the_reference_lists_kafkas_names_of_ours():
    rows = [f"| `{name}` | `{ours}` |" for name, ours in KAFKA_NAMES.items()]

    assert section_of_page("## Kafka's names of these") == [*NAME_TABLE, *rows]


def test_the_reference_holds_no_other_table():
    page = REFERENCE.read_text(encoding="utf-8")
    rows = sum(len(option_rows(section_class)) + 2 for section_class in CLASSES.values())

    assert len(re.findall(r"^\|", page, re.MULTILINE)) == (
        rows + len(refusal_rows()) + 2 + len(KAFKA_NAMES) + 2
    )


@pytest.mark.parametrize("section_class", CLASSES.values())
def test_every_option_is_described_in_its_docstring(section_class):
    assert list(meanings(section_class)) == list(options_of(section_class))


def test_durations_are_in_milliseconds_and_say_so():
    for path, option in OPTIONS.items():
        assert option.name.endswith("_ms") == (option.unit == "ms"), path
