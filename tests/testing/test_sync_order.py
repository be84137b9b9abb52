"""The leader's sync waits for its followers, and other requests wait for nothing."""

from __future__ import annotations

import asyncio

import pytest
from kafka.protocol.admin import ApiVersionRequest
from kafka.protocol.api import RequestHeader
from kafka.protocol.group import SyncGroupRequest

from kafka_patterns.testing.sync_order import SyncOrder, SyncRequest, parse_sync_request

ASSIGNMENT = [("member-a", b"\x00\x01"), ("member-b", b"")]


def frame(request) -> bytes:
    header = RequestHeader(request, correlation_id=7, client_id="hero-client")
    return header.encode() + request.encode()


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("assignment", [ASSIGNMENT, []])
def test_request_of_any_version_is_read(version, assignment):
    request = SyncGroupRequest[version]("heroes", 3, "member-a", assignment)

    assert parse_sync_request(frame(request)) == SyncRequest((b"heroes", 3), len(assignment))


@pytest.mark.parametrize("instance_id", ["hero-1", None])
def test_request_of_a_static_member_is_read(instance_id):
    request = SyncGroupRequest[3]("heroes", 3, "member-a", instance_id, ASSIGNMENT)

    assert parse_sync_request(frame(request)) == SyncRequest((b"heroes", 3), 2)


def test_other_requests_are_none_of_its_business():
    assert parse_sync_request(frame(ApiVersionRequest[0]())) is None


def test_leader_passes_after_the_last_follower():
    async def scenario() -> None:
        order = SyncOrder()
        leader = asyncio.ensure_future(order.wait_for_turn(SyncRequest((b"heroes", 3), 3)))
        await order.wait_for_turn(SyncRequest((b"heroes", 3), 0))
        await order.wait_for_turn(SyncRequest((b"heroes", 2), 0))
        done, _ = await asyncio.wait([leader], timeout=0.1)
        assert not done

        await order.wait_for_turn(SyncRequest((b"heroes", 3), 0))

        await asyncio.wait_for(leader, 20)

    asyncio.run(scenario())


def test_leader_without_followers_passes_at_once():
    async def scenario() -> None:
        await asyncio.wait_for(SyncOrder().wait_for_turn(SyncRequest((b"heroes", 1), 1)), 20)

    asyncio.run(scenario())


def test_leader_does_not_wait_for_ever_for_a_dead_follower(monkeypatch):
    monkeypatch.setattr("kafka_patterns.testing.sync_order._LONGEST_WAIT", 0.05)

    async def scenario() -> None:
        await asyncio.wait_for(SyncOrder().wait_for_turn(SyncRequest((b"heroes", 1), 2)), 5)

    asyncio.run(scenario())
