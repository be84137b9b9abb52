"""A client that was connected before a fork works after it, in the parent and in the child."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.peers import PATIENCE
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.usefixtures("no_logs"),
    # Python 3.12 warns of what is tested here: threads that a fork leaves behind.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def in_child(work) -> int:
    """Fork; the child does *work* and ends with 0 if it returned."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(3 * PATIENCE))
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_parent_and_children_each_get_their_own_replies(peers):
    topic = peers.topic(replies=4)
    server = peers.server()

    @server.message_pattern(topic)
    def echo(payload):
        return {"got": payload}

    client = peers.client(topic)

    def use_in_child(name: str) -> None:
        assert client.send(topic, name, timeout=PATIENCE) == {"got": name}
        client.close()

    with server:
        assert client.send(topic, "before") == {"got": "before"}
        children = [
            in_child(lambda: use_in_child("first")),
            in_child(lambda: use_in_child("second")),
        ]
        for number in range(20):
            assert client.send(topic, f"parent {number}") == {"got": f"parent {number}"}
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        assert client.send(topic, "after") == {"got": "after"}


def test_client_made_before_a_fork_connects_after_it(peers, wire):
    topic = peers.topic()
    client = peers.client()

    def emit_in_child() -> None:
        client.emit(topic, "from the child")
        client.close()

    pid = in_child(emit_in_child)
    client.emit(topic, "from the parent")

    assert os.waitpid(pid, 0)[1] == 0
    eventually(
        lambda: (
            sorted(record.value for record in wire.records(topic))
            == [b"from the child", b"from the parent"]
        )
    )


def test_server_of_the_parent_does_not_run_in_the_child(peers):
    topic = peers.topic(replies=2)
    server = peers.server()

    @server.message_pattern(topic)
    def echo(payload):
        return payload

    def look_in_child() -> None:
        assert server.health().status is None
        assert server.stop() is True

    client = peers.client(topic)
    with server:
        assert os.waitpid(in_child(look_in_child), 0)[1] == 0
        assert client.send(topic, "still") == "still"
