"""The three ways to a client: a registry, a factory, and a name of one's own."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest

from kafka_patterns import (
    Client,
    ClientClosed,
    ClientKafkaProxy,
    ClientProxyFactory,
    ClientRegistry,
    ClientsModule,
    ConfigurationError,
    KafkaStatus,
    Transport,
)
from tests.integration.peers import PATIENCE, Peers


@pytest.fixture
def pattern(peers: Peers):
    """A pattern that a running server answers with the payload."""
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    server.start()
    return pattern


def ask(client, pattern):
    client.subscribe_to_response_of(pattern)
    assert client.status.current is None
    return client.send(pattern, {"id": 1}, timeout=PATIENCE)


def test_registry_gives_lazy_clients_by_name(peers: Peers, pattern):
    with ClientsModule.register(
        [
            {"name": "HERO_SERVICE", "transport": Transport.KAFKA, "options": peers.options()},
            {"name": "OTHER_SERVICE", "options": peers.options("others")},
        ]
    ) as registry:
        hero = registry["HERO_SERVICE"]
        assert isinstance(registry, ClientRegistry)
        assert type(hero) is ClientKafkaProxy
        assert registry["HERO_SERVICE"] is hero
        assert sorted(registry) == ["HERO_SERVICE", "OTHER_SERVICE"]

        assert ask(hero, pattern) == {"id": 1}

        assert hero.status.wait_for(KafkaStatus.CONNECTED, timeout=0)
        assert registry["OTHER_SERVICE"].status.current is None

    assert hero.status.wait_for(KafkaStatus.STOPPED, timeout=0)
    with pytest.raises(ClientClosed):
        registry["OTHER_SERVICE"].emit(pattern, 1)


def test_registries_share_nothing(peers: Peers):
    entry = {"name": "HERO_SERVICE", "options": peers.options()}

    first, second = ClientsModule.register([entry]), ClientsModule.register([entry])

    assert first["HERO_SERVICE"] is not second["HERO_SERVICE"]


def test_unknown_name_tells_the_known_ones(peers: Peers):
    registry = ClientsModule.register([{"name": "HERO_SERVICE", "options": peers.options()}])

    with pytest.raises(KeyError, match=r"'HERO'.*known: HERO_SERVICE"):
        _ = registry["HERO"]


def test_factory_makes_a_lazy_client(peers: Peers, pattern):
    client = peers.keep_client(
        ClientProxyFactory.create({"transport": Transport.KAFKA, "options": peers.options()})
    )

    assert ask(client, pattern) == {"id": 1}


MODULE = """
from kafka_patterns import Client, KafkaOptions

hero_client = Client(KafkaOptions.from_env("HERO_TEST_"))
hero_client.subscribe_to_response_of({pattern!r})


def greet(payload):
    return hero_client.send({pattern!r}, payload, timeout={patience})
"""


def test_client_is_a_name_of_a_module_that_opens_nothing_when_imported(
    peers, pattern, tmp_path, monkeypatch
):
    name = "hero_client_of_a_test"
    source = MODULE.format(pattern=pattern, patience=PATIENCE)
    (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HERO_TEST_CLIENT_BROKERS", ",".join(peers.broker.bootstrap_servers))
    monkeypatch.setenv("HERO_TEST_CONSUMER_GROUP_ID", peers.group)
    for option, value in peers.broker.consumer_tuning.items():
        monkeypatch.setenv(f"HERO_TEST_CONSUMER_{option.upper()}", str(value))
    threads = set(threading.enumerate())

    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    peers.keep_client(module.hero_client)
    assert set(threading.enumerate()) == threads
    assert module.hero_client.status.current is None

    assert module.greet({"id": 1}) == {"id": 1}


@pytest.mark.parametrize("form", ["options", "nestjs"])
def test_client_is_an_attribute_of_a_class_that_all_instances_share(peers: Peers, pattern, form):
    options = peers.options()
    given = options if form == "options" else {"transport": Transport.KAFKA, "options": options}

    class HeroService:
        client = Client(given)

        def greet(self, payload):
            return self.client.send(pattern, payload, timeout=PATIENCE)

    peers.keep_client(HeroService.client)
    HeroService.client.subscribe_to_response_of(pattern)
    first, second = HeroService(), HeroService()

    assert first.greet("hero") == "hero"
    assert second.greet("hero") == "hero"
    assert first.client is second.client is HeroService.client


WRONG_ENTRIES = [
    ([{"options": {}}], "entry 0 of ClientsModule.register has no name"),
    ([{"name": "A"}, {"name": ""}], "entry 1 of ClientsModule.register has no name"),
    ([{"name": "A"}, {"name": "A"}], "two clients are registered as 'A'"),
    ([{"name": "A", "option": {}}], "client 'A': unknown key 'option'"),
    ([{"name": "A", "transport": 1}], "client 'A': transport 1 is not Transport.KAFKA"),
    ([{"name": "A", "options": {"clients": {}}}], "clients .*client"),
]


@pytest.mark.parametrize(("entries", "told"), WRONG_ENTRIES, ids=lambda value: str(value)[:40])
def test_entry_that_cannot_work_is_refused(entries, told):
    with pytest.raises(ConfigurationError, match=told):
        ClientsModule.register(entries)


def test_factory_and_client_refuse_another_transport():
    for make in (ClientProxyFactory.create, Client):
        with pytest.raises(ConfigurationError, match=r"transport 3 is not Transport\.KAFKA"):
            make({"transport": 3, "options": {}})
        make({"transport": 5, "options": {}})
