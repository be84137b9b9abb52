"""Options from environment variables."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import KafkaOptions
from kafka_patterns.options.refusals import REFUSALS
from tests.unit.option_values import LIVE, OPTIONS, SECTIONS, VALUES, mapping_at

PREFIX = "KAFKA_PATTERNS_"
LIVE_OPTIONS = [path for path, (value, _) in VALUES.items() if value is LIVE or callable(value)]
TEXTUAL_OPTIONS = [path for path in VALUES if path not in LIVE_OPTIONS]


def variable(path):
    return PREFIX + path.replace(".", "_").upper()


def as_text(value):
    if isinstance(value, list):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def error_from(environ):
    with pytest.raises(ConfigurationError) as raised:
        KafkaOptions.from_env(environ=environ)
    return str(raised.value)


def test_the_documented_variables_are_read():
    options = KafkaOptions.from_env(
        environ={
            "KAFKA_PATTERNS_CLIENT_BROKERS": "a:9092,b:9092",
            "KAFKA_PATTERNS_RUN_WORKERS": "4",
            "KAFKA_PATTERNS_CLIENT_SASL_MECHANISM": "PLAIN",
            "KAFKA_PATTERNS_CLIENT_SASL_USERNAME": "hero",
            "KAFKA_PATTERNS_CLIENT_SASL_PASSWORD": "dragon",
            "KAFKA_PATTERNS_PRODUCER_ONLY_MODE": "true",
            "PATH": "/bin",
        }
    )

    assert options == KafkaOptions.of(
        {
            "client": {
                "brokers": ["a:9092", "b:9092"],
                "sasl": {"mechanism": "plain", "username": "hero", "password": "dragon"},
            },
            "run": {"workers": 4},
            "producer_only_mode": True,
        }
    )


def test_no_variable_means_the_defaults():
    assert KafkaOptions.from_env(environ={}) == KafkaOptions()


def test_the_variables_of_the_process_are_read_if_none_are_given(monkeypatch):
    monkeypatch.setenv("HERO_RUN_WORKERS", "3")

    assert KafkaOptions.from_env("HERO_").run.workers == 3


@given(st.sampled_from(TEXTUAL_OPTIONS))
def test_every_option_that_text_can_stand_for_has_a_variable(path):
    value, beside = VALUES[path]
    section = path.rpartition(".")[0]
    environ = {variable(f"{section}.{name}"): as_text(other) for name, other in beside.items()}
    environ[variable(path)] = as_text(value)

    assert KafkaOptions.from_env(environ=environ) == KafkaOptions.of(
        mapping_at(path, value, beside)
    )


def test_every_option_has_a_variable_of_its_own():
    assert len({variable(path) for path in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize("path", LIVE_OPTIONS)
def test_a_live_object_cannot_come_from_a_variable(path):
    error = error_from({variable(path): "x"})

    assert f"{variable(path)} cannot be given as a text; give it in code" in error


@pytest.mark.parametrize("path", sorted(SECTIONS - set(VALUES)))
def test_a_whole_section_cannot_come_from_a_variable(path):
    error = error_from({variable(path): "{}"})

    assert f"{variable(path)} cannot be given as a text; give its options one by one" in error


@pytest.mark.parametrize(
    ("name", "given_text"),
    [
        ("RUN_WORKERS", "four"),
        ("RUN_WORKERS", "4.0"),
        ("RUN_WORKERS", ""),
        ("RUN_WORKERS", "\u0664"),
        ("RUN_WORKERS", "9" * 5_000),
        ("RUN_SKIP_EXPIRED", "maybe"),
        ("CLIENT_SSL", "ca.pem"),
        ("CLIENT_RETRY_MULTIPLIER", "two"),
        ("CLIENT_NATIVE", "sock_chunk_bytes=1"),
        ("CLIENT_NATIVE", "[" * 100_000),
        ("SEND_ACKS", "2"),
        ("RUN_ORDERING", ""),
        ("CLIENT_CLIENT_ID", ""),
    ],
)
def test_a_text_that_does_not_fit_names_its_variable(name, given_text):
    error = error_from({PREFIX + name: given_text})

    assert error.startswith(PREFIX + name)
    assert " must be " in error
    assert len(error) < 300


def test_a_value_out_of_range_names_its_variable_and_its_path():
    assert error_from({"KAFKA_PATTERNS_RUN_WORKERS": "0"}) == (
        "KAFKA_PATTERNS_RUN_WORKERS (run.workers) must be an integer from 1 to 10,000, not 0"
    )


def test_an_unknown_variable_with_the_prefix_names_the_nearest():
    assert error_from({"KAFKA_PATTERNS_CLIENT_BROKER": "a:1"}) == (
        "KAFKA_PATTERNS_CLIENT_BROKER is not an option; did you mean KAFKA_PATTERNS_CLIENT_BROKERS?"
    )


def test_all_problems_are_told_at_once():
    error = error_from(
        {
            "KAFKA_PATTERNS_RUN_WORKERS": "0",
            "KAFKA_PATTERNS_RUN_ORDERING": "random",
            "KAFKA_PATTERNS_SEND_TIMEOUT": "3",
            "KAFKA_PATTERNS_REPLY_TIMEOUT_MS": "soon",
        }
    )

    assert "there are 4 problems" in error


@pytest.mark.parametrize("section", [section for section in REFUSALS if section])
def test_what_cannot_be_honoured_is_refused_by_its_variable_too(section):
    name = next(iter(REFUSALS[section]))

    error = error_from({variable(f"{section}.{name}"): "something"})

    assert f"{variable(f'{section}.{name}')} ({section}.{name}) cannot be honoured" in error


def test_a_harmless_value_of_a_refused_option_is_accepted():
    options = KafkaOptions.from_env(environ={"KAFKA_PATTERNS_PRODUCER_IDEMPOTENT": "false"})

    assert options == KafkaOptions()


def test_files_for_tls_go_with_tls_switched_on_and_not_with_off():
    ca_file = {"KAFKA_PATTERNS_CLIENT_SSL_CA_FILE": "ca.pem"}

    switched_on = KafkaOptions.from_env(environ={**ca_file, "KAFKA_PATTERNS_CLIENT_SSL": "true"})
    error = error_from({**ca_file, "KAFKA_PATTERNS_CLIENT_SSL": "false"})

    assert switched_on.client.ssl == KafkaOptions.from_env(environ=ca_file).client.ssl
    assert error == "KAFKA_PATTERNS_CLIENT_SSL_CA_FILE needs KAFKA_PATTERNS_CLIENT_SSL=true"


def test_a_prefix_is_needed():
    with pytest.raises(ConfigurationError, match="needs a prefix"):
        KafkaOptions.from_env("", environ={})
