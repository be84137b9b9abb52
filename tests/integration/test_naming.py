"""Names on the wire: what is appended to ids, and where replies go."""

from __future__ import annotations

import pytest

from kafka_patterns import ClientKafkaProxy, ConfigurationError, KafkaContext, ServerKafka
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import REPLY_TOPIC, Wire


def serve(server, pattern):
    server.message_pattern(pattern)(lambda payload: payload)
    return server


@pytest.mark.parametrize(
    ("given", "of_client", "of_server"),
    [({}, "-client", "-server"), ({"postfix_id": "-mine"}, "-mine", "-mine"),
     ({"postfix_id": ""}, "", ""), ({"postfixId": "-alias"}, "-alias", "-alias")],
)  # fmt: skip
def test_ids_get_the_postfix_of_their_side_or_the_given_one(
    peers, wire: Wire, given, of_client, of_server
):
    pattern = peers.topic(replies=1)
    group = peers.broker.unique("callers")
    server = serve(peers.server(**given), pattern)
    client = peers.client(pattern, group=group, **given)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        for peer, postfix in ((client, of_client), (server, of_server)):
            producer, member, fetcher = peer.unwrap()
            assert peer.client_id == f"hero{postfix}"
            assert {part.config["client_id"] for part in (producer, member, fetcher)} == {
                f"hero{postfix}"
            }
            assert member.config["group_id"] == peer.group_id
        client.consumer.commit_offsets([{"topic": pattern, "partition": 0, "offset": 7}])

    assert client.group_id == f"{group}{of_client}"
    assert wire.committed(f"{group}{of_client}", pattern) == {0: 7}
    assert server.group_id == f"{peers.group}{of_server}"
    assert wire.committed(f"{peers.group}{of_server}", pattern) == {0: 1}


def test_client_and_server_of_one_group_name_do_not_share_a_group(peers: Peers):
    pattern = peers.topic(replies=1)
    server, client = serve(peers.server(), pattern), peers.client(pattern)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"

    assert (client.group_id, server.group_id) == (f"{peers.group}-client", f"{peers.group}-server")


def test_names_are_overridden_in_a_subclass(peers: Peers, wire: Wire):
    pattern = peers.topic()
    replies = peers.broker.create_topic(f"answers-to.{pattern}.reply")

    class HeroClient(ClientKafkaProxy):
        role_postfix = "-asks"

        @property
        def group_id(self):
            return f"{self.options.consumer.group_id}.callers"

        def get_response_pattern_name(self, pattern):
            return f"answers-to.{pattern}.reply"

    class HeroServer(ServerKafka):
        @property
        def client_id(self):
            return "hero-of-nest"

        @property
        def group_id(self):
            return f"{self.options.consumer.group_id}.workers"

    client = peers.keep_client(HeroClient(peers.options()))
    client.subscribe_to_response_of(pattern)
    server = serve(peers.keep_server(HeroServer(peers.options())), pattern)

    with server, client:
        assert client.send(pattern, "hero", timeout=PATIENCE) == "hero"
        assert client.unwrap()[1].config["client_id"] == "hero-asks"
        assert client.unwrap()[1].config["group_id"] == f"{peers.group}.callers"
        assert server.unwrap()[1].config["client_id"] == "hero-of-nest"

    assert wire.committed(f"{peers.group}.workers", pattern) == {0: 1}
    (request,) = wire.records(pattern)
    assert request.header(REPLY_TOPIC) == replies.encode()
    assert wire.ends(replies) == {0: 1}


def test_reply_topic_is_the_pattern_with_reply_appended(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    seen = []

    @server.message_pattern(pattern)
    def kill(payload, context: KafkaContext):
        seen.append(context.message.headers[REPLY_TOPIC])

    with server, peers.client(pattern) as client:
        client.send(pattern, {}, timeout=PATIENCE)

    assert client.get_response_pattern_name(pattern) == f"{pattern}.reply"
    assert seen == [f"{pattern}.reply"]


def test_int_pattern_is_its_digits(peers: Peers):
    number = abs(hash(peers.broker.unique("pattern")))
    peers.broker.create_topic(str(number))
    peers.broker.create_topic(f"{number}.reply")
    server = serve(peers.server(), number)

    with server, peers.client(str(number)) as client:
        assert client.send(number, "hero", timeout=PATIENCE) == "hero"
        assert client.send(str(number), "hero", timeout=PATIENCE) == "hero"


def test_reply_topic_that_is_no_legal_name_is_refused(peers: Peers):
    with pytest.raises(ConfigurationError, match="it has 255 characters"):
        peers.client("x" * 249)
