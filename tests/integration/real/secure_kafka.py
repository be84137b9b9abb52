"""Apache Kafka with a listener for every way to encrypt and to sign in."""

from __future__ import annotations

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.backends import TestBroker
from tests.support.kafka_server import KafkaServer

__all__ = ["ALICE", "Certificates", "listener_of", "plain_password", "start_secure_kafka"]

ALICE = {"username": "alice", "password": "alice-secret"}
"""Known to all listeners that one signs in to."""

_LISTENERS = {
    "SSL": "SSL",
    "MUTUAL": "SSL",
    "LOCAL": "SSL",
    "SASL_SSL": "SASL_SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
}
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN_MODULE = "org.apache.kafka.common.security"


class Certificates:
    """An authority, what it certified, and one that nobody knows; as PEM files in *folder*."""

    KEY_PASSWORD = "key-secret"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        self.authority = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.unknown_authority = str(folder / "unknown-authority.pem")
        trustme.CA().cert_pem.write_to_path(self.unknown_authority)
        self.broker = self._write("broker", authority.issue_cert("127.0.0.1", "localhost"))
        self.local = self._write("local", authority.issue_cert("localhost"))
        self.client = self._write("client", authority.issue_cert("hero.example"))
        self.locked_client = self._lock(self.client)

    def _write(self, name: str, certificate: trustme.LeafCert) -> str:
        """Key and chain in one file; Kafka reads keys in PKCS #8 only."""
        key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        path = self._folder / f"{name}.pem"
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pkcs8 + chain)
        return str(path)

    def _lock(self, plain: str) -> str:
        """The same with the key encrypted."""
        content = Path(plain).read_bytes()
        key = load_pem_private_key(content, password=None)
        encryption = BestAvailableEncryption(self.KEY_PASSWORD.encode())
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        path = Path(plain).with_suffix(".locked.pem")
        path.write_bytes(locked + content[content.index(b"-----BEGIN CERTIFICATE") :])
        return str(path)


class _Listener:
    """One way in; topics are made by way of the one that asks for nothing."""

    def __init__(self, server: KafkaServer, name: str) -> None:
        self._server = server
        self.bootstrap_servers = [server.address(name)]

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        self._server.create_topic(topic, partitions)


def listener_of(server: KafkaServer, name: str) -> TestBroker:
    """The server as it is met at one of its listeners."""
    return TestBroker(
        _Listener(server, name),
        is_real=True,
        consumer_tuning={"session_timeout_ms": 6000, "heartbeat_interval_ms": 500},
    )


def start_secure_kafka(version: str, certificates: Certificates) -> KafkaServer:
    """Start it; the caller closes it."""
    plain = dict.fromkeys(("CONTROLLER", "PLAINTEXT", "PROXIED"), "PLAINTEXT")
    names = {**plain, **_LISTENERS}
    properties = {
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in names.items()
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates.broker,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates.authority,
        "listener.name.local.ssl.keystore.type": "PEM",
        "listener.name.local.ssl.keystore.location": certificates.local,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": ",".join(["PLAIN", *_SCRAM]),
        **plain_password(ALICE["password"]),
    }
    for mechanism in _SCRAM:
        name = f"listener.name.sasl_plaintext.{mechanism.lower()}.sasl.jaas.config"
        properties[name] = f"{_LOGIN_MODULE}.scram.ScramLoginModule required;"
    scram = [
        f"{mechanism}=[name={ALICE['username']},password={ALICE['password']}]"
        for mechanism in _SCRAM
    ]
    server = KafkaServer(
        version=version, properties=properties, listeners=list(_LISTENERS), scram=scram
    )
    return server.start()


def plain_password(password: str) -> dict[str, str]:
    """The settings of the server that give alice this password for ``plain``."""
    users = f'user_{ALICE["username"]}="{password}"'
    return {
        f"listener.name.{name}.plain.sasl.jaas.config": (
            f"{_LOGIN_MODULE}.plain.PlainLoginModule required {users};"
        )
        for name in ("sasl_plaintext", "sasl_ssl")
    }
