"""What is kept of failed attempts to connect, and what follows from it."""

from __future__ import annotations

import logging
import socket
import ssl
import time

import pytest
from kafka.errors import KafkaConnectionError, RequestTimedOutError

from kafka_patterns import (
    AuthenticationFailed,
    BrokersUnavailable,
    ClientKafkaProxy,
    TlsHandshakeFailed,
)
from kafka_patterns.transport.kafka_python.refusals import Peer, Refusal, Refusals

HERE = ("kafka.example", 9092)
THERE = ("other.example", 9092)
ALICE = Peer(HERE, encrypted=False, mechanism="PLAIN", username="alice")
ENCRYPTED = Peer(HERE, encrypted=True, mechanism=None, username=None)


def hung_up() -> Refusal:
    return ALICE.sign_in_failed(KafkaConnectionError("reset"), hung_up=True, offered=[])


def certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def test_broker_that_hangs_up_once_may_be_shutting_down():
    refusals = Refusals()

    refusals.note(HERE, hung_up())
    assert not refusals.are_final([HERE])

    refusals.note(HERE, hung_up())
    assert refusals.are_final([HERE])
    assert type(refusals.error(10, ["kafka.example:9092"])) is AuthenticationFailed


def test_address_that_was_not_tried_yet_is_a_hope():
    refusals = Refusals()

    refusals.note(HERE, ALICE.speaks_tls())
    assert not refusals.are_final([HERE, THERE])

    refusals.note(THERE, ALICE.unreachable(KafkaConnectionError("111 ECONNREFUSED")))
    assert refusals.are_final([HERE, THERE])


def test_brokers_that_are_only_away_are_a_hope():
    refusals = Refusals()

    for _ in range(100):
        refusals.note(HERE, ALICE.unreachable(KafkaConnectionError("111 ECONNREFUSED")))

    assert not refusals.are_final([HERE])
    error = refusals.error(10, ["kafka.example:9092"])
    assert type(error) is BrokersUnavailable
    assert "within 10 s at kafka.example:9092" in str(error)
    assert "nothing listens there" in str(error)


def test_answer_ends_the_refusal():
    refusals = Refusals()
    refusals.note(HERE, ALICE.speaks_tls())

    refusals.forget(HERE)

    assert not refusals.are_final([HERE])
    assert "check client.brokers" in str(refusals.error(10, ["kafka.example:9092"]))


def test_same_refusal_is_logged_once_until_it_ended(caplog):
    refusals = Refusals()

    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            refusals.note(HERE, hung_up())
        assert len(caplog.records) == 1
        refusals.forget(HERE)
        for _ in range(5):
            refusals.note(HERE, hung_up())
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (
            ENCRYPTED.tls_failed(certificate_error(10, "certificate has expired")),
            TlsHandshakeFailed,
            "is not valid now (certificate has expired)",
        ),
        (
            ENCRYPTED.tls_failed(certificate_error(62, "Hostname mismatch")),
            TlsHandshakeFailed,
            "is for another host name (Hostname mismatch)",
        ),
        (
            ENCRYPTED.tls_failed(KafkaConnectionError("timeout")),
            TlsHandshakeFailed,
            "did not answer the TLS handshake",
        ),
        (
            ALICE.unreachable(KafkaConnectionError("DNS failure")),
            BrokersUnavailable,
            "its host name is not known",
        ),
        (
            ALICE.gave_no_answer(RequestTimedOutError("Request timed out after 30000 ms")),
            BrokersUnavailable,
            "Request timed out after 30000 ms",
        ),
        (
            ALICE.sign_in_failed(
                KafkaConnectionError("<BrokerConnection host=x>: timed out"),
                hung_up=False,
                offered=[],
            ),
            AuthenticationFailed,
            "signing in to the broker at kafka.example:9092 with PLAIN failed: timed out",
        ),
    ],
)
def test_refusal_says_what_happened(
    refusal: Refusal, kind: type[BrokersUnavailable], words: str
) -> None:
    assert refusal.kind is kind
    assert words in refusal.text
    assert "kafka.example:9092" in refusal.text


@pytest.mark.parametrize(
    "security",
    [
        {"ssl": True},
        {"sasl": {"mechanism": "plain", "username": "alice", "password": "secret"}},
    ],
    ids=["handshake", "signing in"],
)
def test_port_that_never_answers_costs_time_but_no_processor(security: dict[str, object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        client = ClientKafkaProxy(
            {
                "client": {
                    "brokers": [address],
                    "connection_timeout_ms": 1000,
                    "api_version": "2.6.0",
                    **security,
                }
            }
        )
        started, used = time.monotonic(), time.process_time()
        with pytest.raises(BrokersUnavailable, match=address):
            client.connect()
        client.close()

    assert time.monotonic() - started < 10
    assert time.process_time() - used < 0.5
