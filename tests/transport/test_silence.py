"""Connections that die without a sign, as those do that a firewall or NAT forgot."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka.protocol.commit import GroupCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest
from kafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata import MetadataRequest

from kafka_patterns.errors import CommitFailed, TransportError
from kafka_patterns.message import OffsetAndMetadata
from kafka_patterns.testing import ApiKey, EmbeddedBroker
from kafka_patterns.transport.base import EARLIEST
from kafka_patterns.transport.kafka_python.connection import Connection
from kafka_patterns.transport.kafka_python.member import KafkaMember
from kafka_patterns.transport.kafka_python.refusals import Refusals
from tests.support.rerouting import rerouted
from tests.support.tcp_proxy import ProxiedConnection, TcpProxy
from tests.support.waiting import eventually
from tests.transport.error_codes import REBALANCE_IN_PROGRESS
from tests.transport.parts import HERO, Listener, Parts, polling

PATIENT = {
    "consumer": {"max_poll_interval_ms": 300_000},
    "client": {"request_timeout_ms": 60_000},
}
SESSION_SECONDS = 3.0


@pytest.fixture
def proxy(own_broker: EmbeddedBroker) -> Iterator[TcpProxy]:
    """What all connections to the test's own broker go through."""
    with rerouted(own_broker.bootstrap_servers) as made:
        yield made


def of_coordinator(connection: ProxiedConnection) -> bool:
    return HeartbeatRequest[0].API_KEY in connection.api_keys


def everything(_: ProxiedConnection) -> bool:
    return True


def is_well(member: KafkaMember) -> bool:
    return member.seconds_since_contact < 1 and not member.rejoin_needed


@pytest.fixture
def member(own: Parts, proxy: TcpProxy, hero: str) -> KafkaMember:
    """A member whose coordinator has answered a heartbeat."""
    made = own.joined("heroes", hero, **PATIENT)
    with polling(made):
        eventually(lambda: any(map(of_coordinator, proxy.connections)) and is_well(made))
    return made


@pytest.mark.parametrize("which", [of_coordinator, everything])
def test_member_connects_anew_after_a_session_without_an_answer(
    member: KafkaMember, proxy: TcpProxy, which: Callable[[ProxiedConnection], bool]
) -> None:
    with polling(member) as errors:
        proxy.drop_silently(which)

        eventually(lambda: member.seconds_since_contact > SESSION_SECONDS)
        eventually(lambda: is_well(member))

    assert any("taken no heartbeat" in str(error) for error in errors)


def test_answer_that_is_late_ends_the_connection_before_the_session_is_over(
    own: Parts, proxy: TcpProxy, hero: str
) -> None:
    late_after = {"request_timeout_ms": 600}
    member = own.joined("heroes", hero, **{**PATIENT, "client": late_after})
    with polling(member) as errors:
        eventually(lambda: any(map(of_coordinator, proxy.connections)) and is_well(member))
        before = set(proxy.connections)
        proxy.drop_silently(everything)

        eventually(lambda: any(map(of_coordinator, set(proxy.connections) - before)))
        eventually(lambda: is_well(member))

    assert not any("taken no heartbeat" in str(error) for error in errors)
    assert not member.membership_lost


def test_commit_on_a_dead_connection_ends(member: KafkaMember, proxy: TcpProxy) -> None:
    outcomes: list[Exception | None] = []
    proxy.drop_silently(everything)

    with polling(member):
        member.commit({HERO: OffsetAndMetadata(1)}, outcomes.append)
        eventually(lambda: outcomes)

    assert isinstance(outcomes[0], CommitFailed)


@pytest.mark.parametrize("request_name", ["heartbeat", "commit"])
def test_what_is_under_way_on_a_dead_connection_does_not_block_a_rebalance(
    own: Parts, proxy: TcpProxy, own_broker: EmbeddedBroker, hero: str, request_name: str
) -> None:
    listener = Listener()
    member = own.joined("heroes", hero, listener=listener, **PATIENT)
    own_broker.push_request_errors(ApiKey.HEARTBEAT, REBALANCE_IN_PROGRESS)
    eventually(lambda: member.rejoin_needed)
    proxy.drop_silently(everything)
    if request_name == "commit":
        member.commit({HERO: OffsetAndMetadata(1)}, lambda error: None)
    else:
        member.unwrap()._coordinator._send_heartbeat_request()

    with polling(member):
        eventually(lambda: len(listener.assigned) > 1)
        eventually(lambda: is_well(member))


def test_offsets_are_read_on_a_new_connection(
    own: Parts, proxy: TcpProxy, hero: str, member: KafkaMember
) -> None:
    proxy.drop_silently(everything)

    def are_read() -> bool:
        member.poll(0.05)
        return HERO in member.committed([HERO], 0.5)

    eventually(are_read, retry_on=TransportError)


def test_question_after_one_that_got_no_answer_goes_out_on_a_new_connection(
    own: Parts, proxy: TcpProxy, hero: str
) -> None:
    admin = own.admin(client={"request_timeout_ms": 60_000})
    for ask in (
        lambda timeout: admin.partitions(hero, timeout),
        lambda timeout: admin.offsets({HERO: EARLIEST}, timeout),
    ):
        assert ask(20)
        assert ask(20)  # by now on the connection to the broker's own address
        proxy.drop_silently(everything)
        with contextlib.suppress(TransportError):
            assert not ask(1)

        assert ask(20)


def lone_connection(answer_timeout_ms: float | None) -> Connection:
    """A connection that was never opened."""
    return Connection(
        "localhost",
        9092,
        socket.AF_INET,
        refusals=Refusals(),
        answer_timeout_ms=answer_timeout_ms,
        request_timeout_ms=310_000,
    )


@pytest.mark.parametrize(
    ("request_class", "expected_ms"),
    [
        (JoinGroupRequest[2], 310_000),
        (JoinGroupRequest[5], 310_000),
        (SyncGroupRequest[1], 310_000),
        (HeartbeatRequest[1], 6_000),
        (OffsetCommitRequest[2], 6_000),
        (OffsetFetchRequest[1], 6_000),
        (GroupCoordinatorRequest[0], 5_000),
        (MetadataRequest[1], 6_000),
        (LeaveGroupRequest[1], 6_000),
    ],
)
def test_only_what_waits_for_other_members_may_take_as_long_as_they_do(
    request_class: type[Any], expected_ms: float
) -> None:
    assert lone_connection(6_000)._timeout_ms_of(request_class) == expected_ms
    assert lone_connection(None)._timeout_ms_of(request_class) == 310_000


def test_answer_is_late_only_when_those_before_it_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    connection = lone_connection(6_000)
    waiting = connection._protocol.in_flight_requests
    waiting += [(1, JoinGroupRequest[2]), (2, HeartbeatRequest[1])]
    assert not connection.requests_timed_out()

    now += 300
    assert not connection.requests_timed_out()
    waiting.popleft()
    assert not connection.requests_timed_out()
    now += 5.9
    assert not connection.requests_timed_out()
    now += 0.1
    assert connection.requests_timed_out()
    waiting.popleft()
    assert not connection.requests_timed_out()


def test_wall_clock_that_is_set_ends_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = lone_connection(6_000)
    connection._protocol.in_flight_requests.append((1, HeartbeatRequest[1]))
    assert not connection.requests_timed_out()
    a_year_later = time.time() + 366 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: a_year_later)

    assert not connection.requests_timed_out()


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system chooses the times")
def test_dead_connection_is_noticed_by_keep_alive_although_nothing_is_sent(
    member: KafkaMember,
) -> None:
    sockets = [conn._sock for conn in member.unwrap()._client._conns.values() if conn.connected()]

    assert sockets
    for each in sockets:
        assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, count = (
            each.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * count <= 35
        assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
