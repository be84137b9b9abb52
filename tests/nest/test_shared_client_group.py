"""A Python and a NestJS client in one client group: each keeps its own reply partition."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from kafka_patterns import ClientKafkaProxy, KafkaStatus, NoReplyPartition
from tests.nest.conftest import READY_TIMEOUT, Options, unique_prefix
from tests.nest.load import Ask, Load
from tests.nest.peers import NestClient, NestServer
from tests.nest.wire import REPLY_PARTITION, Wire
from tests.support.waiting import eventually

pytestmark = [pytest.mark.nest, pytest.mark.timeout(180)]

TIMEOUT = 20.0
REPLY_PARTITIONS = 3
ROUNDS = 2


class Group:
    """Makes members of one client group; all of them call one pattern."""

    def __init__(self, brokers: list[str], options: dict[str, Any], pattern: str) -> None:
        self._brokers = brokers
        self._options = options
        self.pattern = pattern
        self.reply_topic = f"{pattern}.reply"

    @contextlib.contextmanager
    def python_client(self) -> Iterator[ClientKafkaProxy]:
        """A Python client."""
        client = ClientKafkaProxy(self._options)
        client.subscribe_to_response_of(self.pattern)
        with client:
            assert client.status.wait_for(KafkaStatus.CONNECTED, READY_TIMEOUT)
            yield client

    @contextlib.contextmanager
    def python(self) -> Iterator[Ask]:
        """A Python client: gives the function that sends a request."""
        with self.python_client() as client:
            yield lambda payload: dict(client.send(self.pattern, payload, timeout=TIMEOUT))

    @contextlib.contextmanager
    def nest(self, *others: str) -> Iterator[NestClient]:
        """A NestJS client, which subscribes to the replies of *others* as well."""
        group_id = self._options["consumer"]["group_id"]
        with NestClient(self._brokers, group_id) as client:
            client.connect([self.pattern, *others])
            yield client

    def ask_with(self, client: NestClient) -> Ask:
        """The function that sends a request by *client*."""

        def ask(payload: str) -> dict[str, Any]:
            outcome = client.send(self.pattern, payload, TIMEOUT)
            assert len(outcome.values) == 1, f"request {payload} ended as {outcome}"
            return dict(outcome.values[0])

        return ask

    @contextlib.contextmanager
    def member(self, kind: str) -> Iterator[Ask]:
        """A member of either kind."""
        if kind == "python":
            with self.python() as ask:
                yield ask
        else:
            with self.nest() as client:
                yield self.ask_with(client)


@pytest.fixture(scope="module")
def echo_server(nest_broker: Any, wire: Wire) -> Iterator[NestServer]:
    """A server that tells a caller the headers of its request."""
    prefix = unique_prefix("shared")
    patterns = [f"{prefix}echo", f"{prefix}identity"]
    wire.create_topics(patterns)
    wire.create_topics([f"{pattern}.reply" for pattern in patterns], REPLY_PARTITIONS)
    with NestServer(
        nest_broker.bootstrap_servers, f"{prefix}rows", prefix, rows=["echo", "identity"]
    ) as server:
        yield server


@pytest.fixture
def group(nest_broker: Any, options: Options, echo_server: NestServer) -> Group:
    """A client group that nobody is in yet."""
    return Group(
        nest_broker.bootstrap_servers,
        options(unique_prefix("callers")),
        f"{echo_server.prefix}echo",
    )


def settled_partitions(*asks: Ask) -> list[str]:
    """The reply partitions that the members name, once no two are the same."""

    def all_different() -> list[str]:
        held = [ask(f"where-{uuid.uuid4().hex}")["headers"][REPLY_PARTITION] for ask in asks]
        assert len(set(held)) == len(held), f"members share a reply partition: {held}"
        return held

    return eventually(all_different, READY_TIMEOUT)


def wait_for_another_join(nest: NestClient, joins: int) -> None:
    """Wait until *nest* has been through a rebalance after its first *joins* ones."""
    nest.wait_for(lambda _: True if len(nest.joins()) > joins else None)


def call_while_a_third_comes_and_goes(
    group: Group, ask_python: Ask, nest: NestClient, third: str
) -> None:
    """Keep a Python and a NestJS member calling; check that neither moved or lost a reply."""
    ask_nest = group.ask_with(nest)
    held_by_python, held_by_nest = settled_partitions(ask_python, ask_nest)
    with Load("python", ask_python) as python_load, Load("nest", ask_nest) as nest_load:
        for _ in range(ROUNDS):
            with group.member(third) as ask_third:
                settled_partitions(ask_third, ask_python, ask_nest)
                for number in range(20):
                    assert ask_third(f"third-{number}")["payload"] == f"third-{number}"
                joins = len(nest.joins())
            wait_for_another_join(nest, joins)
            python_load.wait_for_more(30)
            nest_load.wait_for_more(30)

    assert (python_load.failure, nest_load.failure) == (None, None)
    assert python_load.partitions == {held_by_python}
    assert nest_load.partitions == {held_by_nest}


@pytest.mark.parametrize("third", ["python", "nest"])
def test_both_keep_their_reply_partition_with_nest_as_leader(group: Group, third: str) -> None:
    with group.nest() as nest:
        alone = nest.wait_for_join(lambda join: True)
        assert alone.partitions == {group.reply_topic: list(range(REPLY_PARTITIONS))}

        with group.python() as ask_python:
            call_while_a_third_comes_and_goes(group, ask_python, nest, third)

        assert all(join.is_leader for join in nest.joins())


@pytest.mark.parametrize("third", ["python", "nest"])
def test_both_keep_their_reply_partition_with_python_as_leader(group: Group, third: str) -> None:
    with group.python() as ask_python, group.nest() as nest:
        call_while_a_third_comes_and_goes(group, ask_python, nest, third)

        assert not any(join.is_leader for join in nest.joins())


def test_nest_takes_the_lead_over_when_a_leading_python_client_leaves(group: Group) -> None:
    with contextlib.ExitStack() as leader:
        ask_python = leader.enter_context(group.python())
        with group.nest() as nest:
            settled_partitions(ask_python, group.ask_with(nest))

            leader.close()

            led = nest.wait_for_join(lambda join: join.is_leader)
            assert led.partitions == {group.reply_topic: list(range(REPLY_PARTITIONS))}
            assert group.ask_with(nest)("alone")["payload"] == "alone"


def test_python_takes_the_lead_over_when_a_leading_nest_client_leaves(group: Group) -> None:
    with contextlib.ExitStack() as leader:
        nest = leader.enter_context(group.nest())
        with group.python() as ask_python:
            held_by_python, _ = settled_partitions(ask_python, group.ask_with(nest))
            with Load("python", ask_python) as load:
                leader.close()
                with group.nest() as follower:
                    settled_partitions(ask_python, group.ask_with(follower))
                    load.wait_for_more(30)
                    assert not any(join.is_leader for join in follower.joins())

            assert load.failure is None
            assert load.partitions == {held_by_python}


def test_late_topic_that_a_leading_nest_client_does_not_know_is_said(
    group: Group, echo_server: NestServer
) -> None:
    late = f"{echo_server.prefix}identity"
    with contextlib.ExitStack() as leader:
        nest = leader.enter_context(group.nest())
        with group.python_client() as client:
            client.subscribe_to_response_of(late)

            with pytest.raises(NoReplyPartition, match="led by a NestJS client") as refusal:
                client.send(late, "hero", timeout=TIMEOUT)
            assert f"{late}.reply" in str(refusal.value)
            assert client.send(group.pattern, "hero", timeout=TIMEOUT)["payload"] == "hero"
            assert group.ask_with(nest)("nest")["payload"] == "nest"
            assert all(join.is_leader for join in nest.joins())

            # Once it leads itself, it gives itself what it asks for.
            leader.close()
            answer = eventually(
                lambda: client.send(late, "hero", timeout=TIMEOUT),
                READY_TIMEOUT,
                retry_on=NoReplyPartition,
            )
            assert answer == "hero"


def test_late_topic_that_a_leading_nest_client_knows_is_given(
    group: Group, echo_server: NestServer
) -> None:
    late = f"{echo_server.prefix}identity"
    with group.nest(late) as nest, group.python_client() as client:
        client.subscribe_to_response_of(late)

        assert client.send(late, "hero", timeout=TIMEOUT) == "hero"
        assert client.send(group.pattern, "hero", timeout=TIMEOUT)["payload"] == "hero"
        assert nest.send(late, "nest", TIMEOUT).values == ["nest"]
        assert all(join.is_leader for join in nest.joins())
