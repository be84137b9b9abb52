"""Which reply partition requests name, and which are read: no reply falls into a gap."""

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_patterns.errors import ClientClosed, NoReplyPartition, NotSubscribedToReply
from kafka_patterns.message import TopicPartition
from tests.support.waiting import eventually
from tests.unit.reply_client import OTHER, TOPIC, Client, at


@pytest.fixture
def client() -> Client:
    return Client()


class TestNaming:
    def test_nothing_is_named_before_it_is_read(self, client) -> None:
        client.assign(2, 1)

        assert client.named is None
        assert client.reader.opened == [at(1)]

        client.reader.begin()
        assert client.named == 1
        assert client.request(b"id") == at(1)

    def test_named_partition_stays_though_a_lower_one_comes(self, client) -> None:
        client.assign(1)
        client.reader.begin()

        client.assign(0, 1)

        assert client.named == 1
        assert client.reader.opened == [at(1)]

    def test_old_partition_stays_named_until_the_new_one_is_read(self, client) -> None:
        client.assign(1)
        client.reader.begin()

        client.assign(0)

        assert client.named == 1
        assert client.reader.reading == {at(1)}
        client.reader.begin()
        assert client.named == 0
        assert client.reader.reading == {at(0)}

    def test_partition_that_is_read_already_is_preferred(self, client) -> None:
        client.assign(3)
        client.reader.begin()
        client.request(b"id")
        client.assign(0)
        client.reader.begin()

        client.assign(1, 3)

        assert client.named == 3
        assert client.reader.opened == [at(3), at(0)]

    def test_partition_that_was_withdrawn_while_it_opened_is_stopped(self, client) -> None:
        client.assign(1)
        client.reader.begin()
        client.assign(0)
        client.assign(1)

        client.reader.begin()

        assert client.named == 1
        assert client.reader.reading == {at(1)}

    def test_partition_that_is_opening_is_not_opened_again(self, client) -> None:
        client.assign(0)
        client.assign(1)
        client.assign(0)
        client.partitions.open_wanted()

        client.reader.begin()

        assert client.reader.opened == [at(0), at(1)]
        assert client.named == 0
        assert client.reader.reading == {at(0)}

    def test_partition_whose_end_was_not_found_is_tried_again(self, client) -> None:
        client.reader.without_end.add(at(0))
        client.assign(0)
        client.reader.without_end.clear()
        assert client.reader.opened == []

        client.partitions.open_wanted()
        client.reader.begin()

        assert client.named == 0

    def test_partition_whose_lookup_raised_is_tried_again(self, client, monkeypatch) -> None:
        def fail(*_: object) -> Collection[TopicPartition]:
            raise ConnectionError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(client.reader, "read_from_end", fail)
            with pytest.raises(ConnectionError):
                client.assign(0)

        client.partitions.open_wanted()
        client.reader.begin()

        assert client.named == 0

    def test_topics_are_independent(self) -> None:
        client = Client(TOPIC, OTHER)
        client.partitions.assign({TOPIC: [0], OTHER: [5]})
        client.reader.begin(at(5, OTHER))

        assert client.partitions.named() == {OTHER: 5}
        assert not client.partitions.settled

    def test_foreign_topics_of_an_assignment_are_ignored(self, client) -> None:
        client.partitions.assign({TOPIC: [0], "foreign": [1]})
        client.reader.begin()

        assert client.partitions.named() == {TOPIC: 0}


class TestPendingRequests:
    def test_partition_that_moved_is_read_until_its_last_request_ended(self, client) -> None:
        client.assign(1)
        client.reader.begin()
        client.request(b"first")
        client.request(b"second")

        client.assign(0)
        client.reader.begin()
        client.pending.remove(b"first")
        assert client.reader.reading == {at(0), at(1)}

        client.pending.remove(b"second")
        assert client.reader.reading == {at(0)}

    def test_partition_without_requests_is_stopped_when_all_is_taken(self, client) -> None:
        client.assign(1)
        client.reader.begin()

        client.assign()

        assert client.named is None
        assert client.reader.reading == set()

    def test_partition_that_came_back_is_not_stopped_by_its_last_request(self, client) -> None:
        client.assign(1)
        client.reader.begin()
        client.request(b"id")
        client.assign()
        client.assign(1)

        client.pending.remove(b"id")

        assert client.named == 1
        assert client.reader.reading == {at(1)}


class TestRefusals:
    def test_topic_that_was_not_subscribed_is_refused(self, client) -> None:
        with pytest.raises(NotSubscribedToReply, match=r"'villain\.reply'.*subscribe_to_response"):
            client.request(b"id", OTHER)

    def test_instance_without_a_partition_is_told_how_to_get_one(self, client) -> None:
        client.assign()

        with pytest.raises(
            NoReplyPartition, match=r"'hero\.reply' in group 'heroes-client'.*\"direct\""
        ):
            client.request(b"id")
        assert len(client.pending) == 0

    def test_topic_that_does_not_exist_is_told_with_the_command(self, client) -> None:
        client.partitions.note_missing([TOPIC])
        client.assign()

        with pytest.raises(NoReplyPartition) as refusal:
            client.request(b"id")

        assert "did not exist" in str(refusal.value)
        assert (
            "kafka-topics.sh --bootstrap-server one:9092,two:9092 --create --topic hero.reply "
            "--partitions N "
        ) in str(refusal.value)

    def test_topic_that_existed_once_is_not_called_missing(self, client) -> None:
        client.partitions.note_missing([TOPIC])
        client.assign(0)
        client.assign()

        with pytest.raises(NoReplyPartition, match="--alter --topic"):
            client.request(b"id")

    @pytest.mark.parametrize("topic", [TOPIC, OTHER])
    def test_after_forget_the_client_is_closed(self, client, topic) -> None:
        client.assign(0)
        client.reader.begin()

        client.partitions.forget()

        with pytest.raises(ClientClosed):
            client.request(b"id", topic)


class TestSettled:
    def test_not_before_the_group_decided(self, client) -> None:
        assert not client.partitions.settled
        assert not client.partitions.wait_until_settled(0)

    def test_once_others_hold_everything(self, client) -> None:
        client.assign()

        assert client.partitions.wait_until_settled(0)

    def test_wait_ends_when_the_partition_is_read(self, client) -> None:
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(client.partitions.wait_until_settled, 60)
            client.assign(0)
            client.reader.begin()

            assert waiting.result(20)

    def test_subscribed_topics_are_told(self) -> None:
        assert Client(OTHER, TOPIC).partitions.subscribed == [TOPIC, OTHER]


def test_requests_of_many_threads_stay_readable_while_partitions_move() -> None:
    client = Client()
    client.assign(0)
    client.reader.begin()
    stopped = threading.Event()
    unread: list[TopicPartition] = []

    def send(prefix: bytes) -> int:
        count = 0
        while not stopped.is_set():
            count += 1
            correlation_id = b"%s-%d" % (prefix, count)
            partition = client.request(correlation_id)
            if partition not in client.reader.reading:
                unread.append(partition)
            client.pending.remove(correlation_id)
        return count

    with ThreadPoolExecutor(4) as threads:
        senders = [threads.submit(send, b"%d" % number) for number in range(4)]
        for round_number in range(300):
            client.assign(round_number % 3)
            client.reader.begin()
        stopped.set()
        counts = [sender.result(20) for sender in senders]

    assert unread == []
    assert sum(counts) > 0
    eventually(lambda: client.reader.reading == {at(299 % 3)})
