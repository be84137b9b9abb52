"""A client that only produces: no consumer, no group."""

from __future__ import annotations

import threading

import pytest

from kafka_patterns import ConfigurationError, KafkaStatus, NotConnected, NotSubscribedToReply
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire


def test_it_emits_without_a_consumer_and_without_a_group(peers: Peers, wire: Wire):
    topic = peers.topic()
    client = peers.client(producer_only_mode=True)

    with client:
        assert client.status.current is KafkaStatus.CONNECTED
        assert client.emit(topic, {"id": 1}).offset == 0
        assert client.emit_future(topic, {"id": 2}).result(PATIENCE).offset == 1
        assert [placed.offset for placed in client.emit_batch(topic, ["3", "4"])] == [2, 3]
        producer, member, fetcher = client.unwrap()
        threads = {thread.name for thread in threading.enumerate() if "hero" in thread.name}

    assert producer is not None
    assert (member, fetcher) == (None, None)
    assert not [name for name in threads if "member" in name or "fetcher" in name], threads
    values = [b'{"id":1}', b'{"id":2}', b"3", b"4"]
    assert [record.value for record in wire.records(topic)] == values
    assert wire.committed(client.group_id, topic) == {}


@pytest.mark.parametrize("how", ["send", "send_future", "stream"])
def test_send_says_why_it_cannot(peers: Peers, wire: Wire, how):
    pattern = peers.topic(replies=1)

    refused = pytest.raises(NotSubscribedToReply, match=f"'{pattern}'.*producer_only_mode is on")
    with peers.client(producer_only_mode=True) as client, refused:
        getattr(client, how)(pattern, {"id": 1})

    assert wire.ends(pattern) == {0: 0}


def test_subscribing_to_replies_is_refused(peers: Peers):
    with pytest.raises(ConfigurationError, match=r"'hero'.*turn it off"):
        peers.client("hero", producer_only_mode=True)


def test_consumer_driver_is_not_there(peers: Peers):
    with peers.client(producer_only_mode=True) as client:
        with pytest.raises(NotConnected, match="there is no consumer"):
            _ = client.consumer
        with pytest.raises(NotConnected, match="there is no consumer"):
            client.run_on_consumer_thread(lambda consumer: None)


def test_alias_of_nestjs_is_taken(peers: Peers):
    assert peers.client(producerOnlyMode=True).options.producer_only_mode
