"""Secrets are in no representation and in no error."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import KafkaOptions

SECRETS = st.text(min_size=1).map(lambda tail: "top-secret" + tail)
SECRET_NAMES = st.sampled_from(
    [
        "sasl_plain_password",
        "ssl_password",
        "sasl_oauth_token_provider",
        "basic.auth.credentials",
        "apiKey",
        "client_secret",
        "sasl.jaas.config",
        "Passphrase",
    ]
)


@given(
    secret=SECRETS, name=SECRET_NAMES, section=st.sampled_from(["client", "consumer", "producer"])
)
def test_no_representation_shows_a_secret(secret, name, section):
    options = KafkaOptions.of(
        {
            "client": {
                "ssl": {"cert_file": "cert.pem", "passphrase": secret},
                "sasl": {"mechanism": "plain", "username": "hero", "password": secret},
            },
        }
    )
    native = KafkaOptions.of({section: {"native": {name: secret, "deep": [{name: secret}]}}})

    for shown in (repr(options), str(options.client), repr(options.client.sasl), repr(native)):
        assert "top-secret" not in shown
        assert "***" in shown


def test_a_secret_that_is_not_set_is_shown_as_such():
    assert "key_password=None" in repr(KafkaOptions.of({"client": {"ssl": {}}}).client.ssl)


def test_what_is_no_secret_is_shown():
    options = KafkaOptions.of({"client": {"native": {"sock_chunk_bytes": [1, (2,)]}}})

    assert "{'sock_chunk_bytes': [1, [2]]}" in repr(options)


@pytest.mark.parametrize(
    "client",
    [
        {"sasl": "top-secret"},
        {"sasl": ["top-secret"]},
        {"sasl": {"mechanism": "plain", "password": "top-secret"}},
        {"sasl": {"mechanism": "plain", "password": b"top-secret", "username": "a"}},
        {"sasl": {"mechanism": "oauthbearer", "token_provider": "top-secret"}},
        {"sasl": {"passwrd": "top-secret"}},
        {"sasl": {"secretAccessKey": "top-secret"}},
        {"ssl": "top-secret"},
        {"ssl": {"key": "top-secret"}},
        {"ssl": {"key_password": ["top-secret"]}},
        {"ssl": {"key_file": "-----BEGIN PRIVATE KEY-----top-secret"}},
        {"brokers": "hero:top-secret@kafka:9092"},
        {"native": "top-secret"},
        {"native": [("sasl_plain_password", "top-secret")]},
    ],
)
def test_no_error_and_no_traceback_shows_a_secret(client):
    with pytest.raises(ConfigurationError) as raised:
        KafkaOptions.of({"client": client})

    assert "top-secret" not in "".join(traceback.format_exception(raised.value))


def test_no_error_about_a_variable_shows_a_secret():
    with pytest.raises(ConfigurationError) as raised:
        KafkaOptions.from_env(
            environ={
                "KAFKA_PATTERNS_CLIENT_NATIVE": '{"sasl_plain_password": "top-secret"',
                "KAFKA_PATTERNS_CLIENT_SASL_PASWORD": "top-secret",
                "KAFKA_PATTERNS_CLIENT_SASL": "hero:top-secret",
            }
        )

    assert "there are 3 problems" in str(raised.value)
    assert "top-secret" not in "".join(traceback.format_exception(raised.value))
