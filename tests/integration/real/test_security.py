"""TLS and signing in work, and say what is wrong when they do not."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kafka_patterns import (
    AuthenticationFailed,
    BrokersUnavailable,
    ConfigurationError,
    KafkaStatus,
    TlsHandshakeFailed,
)
from tests.integration.peers import PATIENCE, Peers
from tests.integration.real.secure_kafka import (
    ALICE,
    Certificates,
    listener_of,
    plain_password,
    start_secure_kafka,
)
from tests.support.kafka_server import KafkaServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_kafka

_TIMEOUT_MS = 3000
_WRONG = "wrong-secret"
_RESTART_PATIENCE = 40.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure_kafka(kafka_version: str, certificates: Certificates) -> Iterator[KafkaServer]:
    server = start_secure_kafka(kafka_version, certificates)
    yield server
    server.close()


@pytest.fixture
def secure_peers(secure_kafka: KafkaServer) -> Iterator[Callable[[str], Peers]]:
    """Makes the peers that use one listener."""
    made: list[Peers] = []

    def make(listener: str) -> Peers:
        made.append(Peers(listener_of(secure_kafka, listener)))
        return made[-1]

    yield make
    for peers in made:
        peers.close()


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the level of details, of this library and of kafka-python."""
    with caplog.at_level(logging.DEBUG):
        yield
    for secret in (ALICE["password"], _WRONG, Certificates.KEY_PASSWORD):
        assert secret not in caplog.text


def sasl(mechanism: str, **changed: str) -> dict[str, str]:
    return {"mechanism": mechanism, **ALICE, **changed}


def trusted(certificates: Certificates, **more: object) -> dict[str, object]:
    return {"ca_file": certificates.authority, **more}


Client = Callable[[Certificates], dict[str, object]]

WORKING: dict[str, tuple[str, Client]] = {
    "tls": ("SSL", lambda c: {"ssl": trusted(c)}),
    "tls without host name": ("LOCAL", lambda c: {"ssl": trusted(c, check_hostname=False)}),
    "tls by a live context": (
        "SSL",
        lambda c: {"ssl": ssl.create_default_context(cafile=c.authority)},
    ),
    "tls of both sides": ("MUTUAL", lambda c: {"ssl": trusted(c, cert_file=c.client)}),
    "tls with a locked key": (
        "MUTUAL",
        lambda c: {
            "ssl": trusted(c, cert_file=c.locked_client, key_password=Certificates.KEY_PASSWORD)
        },
    ),
    "plain over tls": ("SASL_SSL", lambda c: {"ssl": trusted(c), "sasl": sasl("plain")}),
    "plain": ("SASL_PLAINTEXT", lambda c: {"sasl": sasl("plain")}),
    "scram-sha-256": ("SASL_PLAINTEXT", lambda c: {"sasl": sasl("scram-sha-256")}),
    "scram-sha-512": ("SASL_PLAINTEXT", lambda c: {"sasl": sasl("SCRAM-SHA-512")}),
}


@pytest.mark.parametrize("way", WORKING)
def test_requests_and_events_pass(way, secure_peers, certificates, caplog):
    listener, make_client = WORKING[way]
    peers, client = secure_peers(listener), make_client(certificates)
    request, event = peers.topic(replies=1), peers.topic()
    seen = threading.Event()
    server = peers.server(client=client)

    @server.message_pattern(request)
    def answer(message):
        return {"got": message}

    @server.event_pattern(event)
    def see(message):
        seen.set()

    # More than one TLS record, and more than one read from the socket.
    big = {"big": "x" * 500_000}
    with server, peers.client(request, client=client) as sender:
        assert sender.send(request, big, timeout=PATIENCE) == {"got": big}
        sender.emit(event, {"id": 1})
        assert seen.wait(PATIENCE)

    # TLS 1.3 sends session tickets when nobody asked anything; they end no connection.
    assert "EVENT_READ" not in caplog.text


REFUSED: dict[str, tuple[str, Client, type[BrokersUnavailable], list[str]]] = {
    "wrong password": (
        "SASL_PLAINTEXT",
        lambda c: {"sasl": sasl("plain", password=_WRONG)},
        AuthenticationFailed,
        ["refused the user name or the password", "'alice'", "PLAIN", "client.sasl.password"],
    ),
    "wrong password over tls": (
        "SASL_SSL",
        lambda c: {"ssl": trusted(c), "sasl": sasl("plain", password=_WRONG)},
        AuthenticationFailed,
        ["refused the user name or the password", "'alice'"],
    ),
    "wrong password in scram-sha-256": (
        "SASL_PLAINTEXT",
        lambda c: {"sasl": sasl("scram-sha-256", password=_WRONG)},
        AuthenticationFailed,
        ["refused the user name or the password", "SCRAM-SHA-256"],
    ),
    "unknown user in scram-sha-512": (
        "SASL_PLAINTEXT",
        lambda c: {"sasl": sasl("scram-sha-512", username="bob")},
        AuthenticationFailed,
        ["refused the user name or the password", "'bob'", "client.sasl.username"],
    ),
    "mechanism that is not offered": (
        "SASL_SSL",
        lambda c: {"ssl": trusted(c), "sasl": sasl("scram-sha-512")},
        AuthenticationFailed,
        ["does not offer the mechanism SCRAM-SHA-512, but PLAIN", "client.sasl.mechanism"],
    ),
    "signing in where nobody does": (
        "PLAINTEXT",
        lambda c: {"sasl": sasl("plain")},
        AuthenticationFailed,
        ["nobody signs in", "leave client.sasl out"],
    ),
    "untrusted certificate": (
        "SSL",
        lambda c: {"ssl": {"ca_file": c.unknown_authority}},
        TlsHandshakeFailed,
        ["is not trusted (unable to get local issuer certificate)", "client.ssl.ca_file"],
    ),
    "certificate unknown to the system": (
        "SSL",
        lambda c: {"ssl": True},
        TlsHandshakeFailed,
        ["is not trusted", "client.ssl.ca_file"],
    ),
    "certificate for another host": (
        "LOCAL",
        lambda c: {"ssl": trusted(c)},
        TlsHandshakeFailed,
        ["is for another host name", "not valid for '127.0.0.1'", "advertised.listeners"],
    ),
    "plain text to a tls port": (
        "SSL",
        lambda c: {},
        BrokersUnavailable,
        ["speaks TLS", "client.ssl is not set"],
    ),
    "plain signing in to a tls port": (
        "SASL_SSL",
        lambda c: {"sasl": sasl("plain")},
        BrokersUnavailable,
        ["speaks TLS", "client.ssl is not set"],
    ),
}

# The broker only hangs up, which one that starts or stops does as well: asked until the end.
HUNG_UP: dict[str, tuple[str, Client, type[BrokersUnavailable], list[str]]] = {
    "tls to a plain text port": (
        "PLAINTEXT",
        lambda c: {"ssl": trusted(c)},
        TlsHandshakeFailed,
        ["hung up in the TLS handshake", "may not speak TLS", "client.ssl to false"],
    ),
    "no signing in": (
        "SASL_PLAINTEXT",
        lambda c: {},
        BrokersUnavailable,
        ["hung up at the first question", "signing in (client.sasl)"],
    ),
    "no signing in over tls": (
        "SASL_SSL",
        lambda c: {"ssl": trusted(c)},
        BrokersUnavailable,
        ["hung up at the first question", "signing in (client.sasl)"],
    ),
    "no client certificate": (
        "MUTUAL",
        lambda c: {"ssl": trusted(c)},
        BrokersUnavailable,
        ["client certificate", "client.ssl.cert_file"],
    ),
}


def start(side: str, peers: Peers, client: dict[str, object]) -> None:
    if side == "client":
        peers.client(client=client).connect()
    else:
        server = peers.server(client=client)
        server.event_pattern("hero.nothing")(lambda message: None)
        server.start()


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("mistake", REFUSED)
def test_mistake_is_named_at_once(mistake, side, secure_peers, certificates):
    listener, make_client, kind, words = REFUSED[mistake]
    peers = secure_peers(listener)
    client = {**make_client(certificates), "connection_timeout_ms": 30_000}

    started = time.monotonic()
    with pytest.raises(BrokersUnavailable) as caught:
        start(side, peers, client)

    assert time.monotonic() - started < 20
    assert type(caught.value) is kind
    for part in [*words, peers.broker.bootstrap_servers[0]]:
        assert part in str(caught.value)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("mistake", HUNG_UP)
def test_mistake_that_the_broker_is_silent_about_is_named_in_time(
    mistake, side, secure_peers, certificates
):
    listener, make_client, kind, words = HUNG_UP[mistake]
    peers = secure_peers(listener)
    client = {**make_client(certificates), "connection_timeout_ms": _TIMEOUT_MS}

    started, used = time.monotonic(), time.process_time()
    with pytest.raises(kind) as caught:
        start(side, peers, client)

    assert time.monotonic() - started < _TIMEOUT_MS / 1000 + 12
    assert time.process_time() - used < _TIMEOUT_MS / 1000 / 2
    for part in [*words, peers.broker.bootstrap_servers[0]]:
        assert part in str(caught.value)


def test_certificate_that_fits_the_first_address_only_is_named(
    secure_peers, secure_kafka, certificates
):
    peers = secure_peers("LOCAL")
    advertised = secure_kafka.address("LOCAL")
    by_name = advertised.replace("127.0.0.1", "localhost")
    client = {"ssl": trusted(certificates), "brokers": [by_name], "connection_timeout_ms": 30_000}

    with pytest.raises(TlsHandshakeFailed) as caught:
        peers.client(client=client).connect()

    assert f"the broker at {advertised} is for another host name" in str(caught.value)


def test_one_good_broker_is_enough(secure_peers, secure_kafka, certificates):
    peers = secure_peers("SSL")
    brokers = [secure_kafka.address(name) for name in ("PLAINTEXT", "SASL_SSL", "LOCAL", "SSL")]

    with peers.client(client={"ssl": trusted(certificates), "brokers": brokers}) as client:
        assert client.status.current is KafkaStatus.CONNECTED


@pytest.mark.parametrize("password", ["wrong-secret", None], ids=["wrong", "missing"])
def test_locked_key_without_its_passphrase_is_a_configuration_error(
    password, secure_peers, certificates
):
    peers = secure_peers("MUTUAL")
    key = {"cert_file": certificates.locked_client, "key_password": password}
    client = peers.client(client={"ssl": trusted(certificates, **key)})

    with pytest.raises(ConfigurationError, match=r"client\.ssl\.key_password"):
        client.connect()


def test_file_without_certificates_is_a_configuration_error(secure_peers, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    client = secure_peers("SSL").client(client={"ssl": {"ca_file": str(empty)}})

    with pytest.raises(ConfigurationError, match=r"client\.ssl\.ca_file: .*empty\.pem"):
        client.connect()


@pytest.mark.timeout(180)
def test_password_that_becomes_wrong_is_seen_and_survived(secure_kafka, secure_peers, caplog):
    peers = secure_peers("SASL_PLAINTEXT")
    topic = peers.topic(replies=1)
    section = {"sasl": sasl("plain")}
    server = peers.server(client=section)
    server.message_pattern(topic)(lambda message: message)
    with server, peers.client(topic, client=section) as client:
        assert client.send(topic, {"id": 1}, timeout=PATIENCE) == {"id": 1}
        try:
            # When the broker comes back with another password
            secure_kafka.restart(plain_password("another-secret"))

            # Then both say that they are out of touch, and why
            for peer in (client, server):
                assert peer.status.wait_for(KafkaStatus.DISCONNECTED, PATIENCE)
            eventually(lambda: "refused the user name or the password" in caplog.text, PATIENCE)
            caplog.set_level(logging.INFO)
            started, used = time.monotonic(), time.process_time()
            eventually(lambda: time.monotonic() - started > 3)
            assert time.process_time() - used < 1.5
            assert client.status.current is server.status.current is KafkaStatus.DISCONNECTED
        finally:
            secure_kafka.restart(plain_password(ALICE["password"]))

        # And they go on when it is right again
        for peer in (client, server):
            assert peer.status.wait_for(KafkaStatus.CONNECTED, _RESTART_PATIENCE)
        assert client.send(topic, {"id": 2}, timeout=PATIENCE) == {"id": 2}
