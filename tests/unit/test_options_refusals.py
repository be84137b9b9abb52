"""What cannot be honoured is refused by name, with the reason."""

from __future__ import annotations

import pytest

from kafka_patterns.options import KafkaOptions
from kafka_patterns.options.names import camel_case
from kafka_patterns.options.refusals import REFUSALS
from tests.unit.option_values import OPTIONS, VALUES, error_of, mapping_at

REFUSED = [
    (f"{section}.{name}".lstrip("."), spelling)
    for section, names in REFUSALS.items()
    for name in names
    for spelling in {name, camel_case(name)}
]
HARMLESS = [
    (f"{section}.{name}".lstrip("."), value)
    for section, names in REFUSALS.items()
    for name, refusal in names.items()
    for value in refusal.harmless
]


@pytest.mark.parametrize(("path", "spelling"), REFUSED)
def test_what_cannot_be_honoured_is_refused_with_its_reason(path, spelling):
    section, _, name = path.rpartition(".")

    error = error_of(mapping_at(f"{section}.{spelling}".lstrip("."), "something"))

    reason = REFUSALS[section][name].reason
    assert f"{section}.{spelling} cannot be honoured: {reason}".lstrip(".") in error


@pytest.mark.parametrize(("path", "value"), HARMLESS)
def test_a_value_that_asks_for_nothing_is_accepted(path, value):
    options = KafkaOptions.of(mapping_at(path, value))

    assert options == KafkaOptions.of(mapping_at(path.rpartition(".")[0] or "client", {}))


def test_a_value_that_only_equals_a_harmless_one_is_refused():
    assert "producer.idempotent cannot be honoured" in error_of({"producer": {"idempotent": 0}})


def test_nothing_is_both_an_option_and_refused():
    known = {
        f"{path.rpartition('.')[0]}.{name}".lstrip(".")
        for path, option in OPTIONS.items()
        for name in (option.name, *option.aliases)
    }

    assert known.isdisjoint(path for path, _ in REFUSED)
    assert known.isdisjoint(
        f"{path.rpartition('.')[0]}.{spelling}".lstrip(".") for path, spelling in REFUSED
    )


def test_sections_of_refusals_are_sections_of_the_options():
    assert {section for section in REFUSALS if section} <= set(OPTIONS)
    assert VALUES.keys() <= OPTIONS.keys()


def test_the_form_of_the_factories_is_told_apart():
    error = error_of({"transport": "KAFKA", "options": {"client": {}}})

    assert "options cannot be honoured: this form is for `ClientProxyFactory.create`" in error
