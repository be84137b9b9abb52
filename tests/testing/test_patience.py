"""No client of the embedded broker waits longer than it has to."""

from __future__ import annotations

import struct

import pytest
from kafka.protocol.fetch import FetchRequest
from kafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from kafka.protocol.parser import KafkaProtocol

from kafka_patterns.testing.patience import LONGEST_SESSION_MS, shorten_waits


def frame_of(request) -> bytes:
    protocol = KafkaProtocol(client_id="hero", api_version=(2, 4))
    protocol.send_request(request)
    return protocol.send_bytes()[4:]


def fetch(max_wait_ms: int) -> FetchRequest:
    return FetchRequest[4](-1, max_wait_ms, 1, 1000, 0, [("topic", [(0, 7, 1000)])])


def join(session_ms: int) -> JoinGroupRequest:
    return JoinGroupRequest[2]("group", session_ms, 300_000, "", "consumer", [("range", b"x")])


def test_fetch_waits_ten_milliseconds_at_most():
    assert shorten_waits(frame_of(fetch(500))) == frame_of(fetch(10))
    assert shorten_waits(frame_of(fetch(3))) == frame_of(fetch(3))


def test_session_of_a_join_is_short():
    assert shorten_waits(frame_of(join(30_000))) == frame_of(join(LONGEST_SESSION_MS))
    assert shorten_waits(frame_of(join(3_000))) == frame_of(join(3_000))


def test_other_requests_pass_as_they_are():
    frame = frame_of(HeartbeatRequest[1]("group", 1, "member"))

    assert shorten_waits(frame) == frame


def test_junk_is_the_gateways_business():
    with pytest.raises(struct.error):
        shorten_waits(b"")
