"""Three ways to a client, as in NestJS: a registry, a factory, and a named attribute."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka_patterns.client.proxy import ClientKafkaProxy
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import KafkaOptions

__all__ = ["Client", "ClientProxyFactory", "ClientRegistry", "ClientsModule", "Transport"]

_ENTRY_KEYS = frozenset({"name", "transport", "options"})


class Transport(enum.Enum):
    """NestJS's transports, as far as this library speaks them; the value is NestJS's number."""

    KAFKA = 5


class ClientRegistry(Mapping[str, ClientKafkaProxy]):
    """Clients by name; each connects at its first use. Closing it closes them all."""

    def __init__(self, clients: Mapping[str, ClientKafkaProxy]) -> None:
        self._clients = dict(clients)

    def __getitem__(self, name: str) -> ClientKafkaProxy:
        try:
            return self._clients[name]
        except KeyError:
            known = ", ".join(sorted(self._clients)) or "none"
            raise KeyError(f"no client is registered as {name!r} (known: {known})") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def close(self, timeout: float = 10.0) -> None:
        """Close all clients, each within *timeout* seconds."""
        for client in self._clients.values():
            client.close(timeout)

    def __enter__(self) -> ClientRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ClientsModule:
    """NestJS's ``ClientsModule``, without global state."""

    @staticmethod
    def register(entries: Iterable[Mapping[str, Any]]) -> ClientRegistry:
        """Make a client per entry ``{"name": ..., "transport": ..., "options": {...}}``.

        :raises ConfigurationError: for a missing or repeated name, an unknown key, another
            transport, or options that cannot work.
        """
        clients: dict[str, ClientKafkaProxy] = {}
        for index, entry in enumerate(entries):
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                raise ConfigurationError(f"entry {index} of ClientsModule.register has no name")
            if name in clients:
                raise ConfigurationError(f"two clients are registered as {name!r}")
            clients[name] = _make(entry, f"client {name!r}")
        return ClientRegistry(clients)


class ClientProxyFactory:
    """NestJS's ``ClientProxyFactory``."""

    @staticmethod
    def create(entry: Mapping[str, Any]) -> ClientKafkaProxy:
        """Make a client of ``{"transport": ..., "options": {...}}``.

        :raises ConfigurationError: as for ``ClientsModule.register``.
        """
        return _make(entry, "the client")


class Client(ClientKafkaProxy):
    """A client as a module-level name or a class attribute; connects at its first use.

    Takes the options, or NestJS's ``{"transport": ..., "options": {...}}``. As a class
    attribute all instances of the class share it.
    """

    def __init__(self, options: Mapping[str, Any] | KafkaOptions | None = None) -> None:
        if isinstance(options, Mapping) and ("options" in options or "transport" in options):
            options = _options(options, "Client")
        super().__init__(options)


def _make(entry: Mapping[str, Any], what: str) -> ClientKafkaProxy:
    return ClientKafkaProxy(_options(entry, what))


def _options(entry: Mapping[str, Any], what: str) -> KafkaOptions:
    unknown = sorted(set(entry) - _ENTRY_KEYS)
    if unknown:
        raise ConfigurationError(
            f"{what}: unknown key {unknown[0]!r}; there are name, transport and options"
        )
    transport = entry.get("transport", Transport.KAFKA)
    if transport not in (Transport.KAFKA, Transport.KAFKA.value):
        raise ConfigurationError(f"{what}: transport {transport!r} is not Transport.KAFKA")
    return KafkaOptions.of(entry.get("options"))
