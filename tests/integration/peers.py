"""Clients and servers of this library, made for one test and ended with it."""

from __future__ import annotations

import contextlib
import re
from functools import partial
from typing import Any, TypeVar

from kafka_patterns import ClientKafkaProxy, ServerKafka
from tests.support.backends import TestBroker
from tests.support.waiting import eventually

__all__ = ["PATIENCE", "Peers", "collect_events", "let_know"]

PATIENCE = 40.0
"""Seconds in which everything that has to happen happens, also on a busy machine."""

_STOP_TIMEOUT = 15.0

Client = TypeVar("Client", bound=ClientKafkaProxy)
Server = TypeVar("Server", bound=ServerKafka)


class Peers:
    """Makes topics, options, clients and servers; what is still open at the end is closed.

    All of one test share a group name, unless they ask for another.
    """

    def __init__(self, broker: TestBroker) -> None:
        self.broker = broker
        self.group = broker.unique("hero")
        self._open = contextlib.ExitStack()

    def close(self) -> None:
        """Close all clients, then stop all servers, the newest first."""
        self._open.close()

    def topic(self, name: str = "hero.topic", *, partitions: int = 1, replies: int = 0) -> str:
        """Create a topic, and its reply topic with so many partitions."""
        topic = self.broker.create_topic(self.broker.unique(name), partitions)
        if replies:
            self.broker.create_topic(f"{topic}.reply", replies)
        return topic

    def options(self, group: str | None = None, **sections: Any) -> dict[str, Any]:
        """Options for this broker; *sections* are laid over them, key by key."""
        merged: dict[str, Any] = {
            "client": {"client_id": "hero", "brokers": self.broker.bootstrap_servers},
            "consumer": {"group_id": group or self.group, **self.broker.consumer_tuning},
        }
        for name, given in sections.items():
            merged[name] = {**merged.get(name, {}), **given} if isinstance(given, dict) else given
        return merged

    def client(self, *patterns: str, group: str | None = None, **sections: Any) -> ClientKafkaProxy:
        """A client that is subscribed to the replies of *patterns*; it connects when used."""
        client = self.keep_client(ClientKafkaProxy(self.options(group, **sections)))
        for pattern in patterns:
            client.subscribe_to_response_of(pattern)
        return client

    def server(self, group: str | None = None, **sections: Any) -> ServerKafka:
        """A server without handlers, not started.

        It commits and retries fast, unless *sections* say otherwise.
        """
        run = {"retry_backoff_ms": 20, "retry_backoff_max_ms": 50, **sections.pop("run", {})}
        if run.get("auto_commit", True):
            run.setdefault("auto_commit_interval_ms", 20)
        return self.keep_server(ServerKafka(self.options(group, run=run, **sections)))

    def keep_client(self, client: Client) -> Client:
        """Close *client* when the test ends."""
        self._open.callback(client.close)
        return client

    def keep_server(self, server: Server) -> Server:
        """Stop *server* when the test ends."""
        self._open.callback(server.stop, _STOP_TIMEOUT)
        return server


def let_know(side: ClientKafkaProxy | ServerKafka, *topics: str) -> None:
    """Let what is connected know these topics: then a short timeout is the reply's alone."""
    producer = side.producer.unwrap()
    for topic in topics:
        producer.topics.ask(topic, lambda _: None)
        eventually(partial(producer.topics.partitions, topic), PATIENCE)


def collect_events(server: ServerKafka, topic: str | re.Pattern[str], **marks: Any) -> list[Any]:
    """Register an event handler on *topic*; returns the list of the events it was given."""
    events: list[Any] = []

    @server.event_pattern(topic, **marks)
    def collect(event: Any) -> None:
        events.append(event)

    return events
