"""A Python and a NestJS server in one server group share the partitions of a topic."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from kafka_patterns import ClientKafkaProxy, KafkaContext, KafkaStatus, Message, ServerKafka
from tests.nest.conftest import READY_TIMEOUT, Options, unique_prefix
from tests.nest.peers import NestServer
from tests.nest.wire import Wire
from tests.support.waiting import eventually

pytestmark = [pytest.mark.nest, pytest.mark.timeout(180)]

PARTITIONS = 4
TIMEOUT = 30.0


@attrs.frozen
class Team:
    """One server group, and a client that asks each partition who reads it."""

    brokers: list[str]
    options: dict[str, Any]
    prefix: str
    client: ClientKafkaProxy

    @property
    def pattern(self) -> str:
        """The one pattern that both servers handle."""
        return f"{self.prefix}shared"

    @contextlib.contextmanager
    def python(self) -> Iterator[None]:
        """A Python server in the group."""
        server = ServerKafka(self.options)

        @server.message_pattern(self.pattern)
        def shared(payload: Any, context: KafkaContext) -> dict[str, Any]:
            return {"by": "python", "partition": context.partition, "payload": payload}

        with server:
            assert server.status.wait_for(KafkaStatus.CONNECTED, READY_TIMEOUT)
            yield

    @contextlib.contextmanager
    def nest(self) -> Iterator[None]:
        """A NestJS server in the group."""
        group_id = self.options["consumer"]["group_id"]
        with NestServer(self.brokers, group_id, self.prefix, rows=["shared"]):
            yield

    def readers(self) -> list[str]:
        """Which server answers for each partition now."""
        return [self._reader(partition) for partition in range(PARTITIONS)]

    def _reader(self, partition: int) -> str:
        payload = uuid.uuid4().hex
        reply = self.client.send(
            self.pattern, Message(value=payload, partition=partition), timeout=TIMEOUT
        )
        assert (reply["partition"], reply["payload"]) == (partition, payload)
        return str(reply["by"])

    def wait_for_readers(self, expected: list[str]) -> None:
        """Ask on until the partitions are read by *expected*, in any order."""

        def as_expected() -> bool:
            readers = self.readers()
            assert sorted(readers) == expected, f"the partitions are read by {readers}"
            return True

        eventually(as_expected, READY_TIMEOUT)


@pytest.fixture
def team(nest_broker: Any, options: Options, wire: Wire) -> Iterator[Team]:
    """A server group that nobody is in yet, with a connected client."""
    prefix = unique_prefix("team")
    wire.create_topics([f"{prefix}shared"], PARTITIONS)
    wire.create_topics([f"{prefix}shared.reply"])
    client = ClientKafkaProxy(options(f"{prefix}callers"))
    client.subscribe_to_response_of(f"{prefix}shared")
    with client:
        assert client.status.wait_for(KafkaStatus.CONNECTED, READY_TIMEOUT)
        yield Team(nest_broker.bootstrap_servers, options(f"{prefix}servers"), prefix, client)


@pytest.mark.parametrize(
    ("leader", "follower"), [("nest", "python"), ("python", "nest")], ids=["nest", "python"]
)
def test_two_servers_share_the_partitions_whoever_leads(
    team: Team, leader: str, follower: str
) -> None:
    start = {"python": team.python, "nest": team.nest}

    with start[leader]():
        assert team.readers() == [leader] * PARTITIONS
        with start[follower]():
            team.wait_for_readers(["nest", "nest", "python", "python"])
        team.wait_for_readers([leader] * PARTITIONS)


@pytest.mark.parametrize(
    ("leader", "follower"), [("nest", "python"), ("python", "nest")], ids=["nest", "python"]
)
def test_a_follower_reads_everything_when_the_leader_leaves(
    team: Team, leader: str, follower: str
) -> None:
    start = {"python": team.python, "nest": team.nest}

    with contextlib.ExitStack() as leading:
        leading.enter_context(start[leader]())
        with start[follower]():
            team.wait_for_readers(["nest", "nest", "python", "python"])
            leading.close()
            team.wait_for_readers([follower] * PARTITIONS)
