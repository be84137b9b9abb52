"""The server: who reads, who runs handlers, what is answered, and what is committed."""

from __future__ import annotations

import threading
import time
from types import ModuleType

import attrs
import pytest
from kafka import KafkaConsumer

from kafka_patterns import (
    Batch,
    ConfigurationError,
    DeadLetter,
    KafkaContext,
    KafkaStatus,
    Message,
    Retry,
    RetryTopics,
    RpcException,
    TopicPartition,
    event_pattern,
    message_pattern,
)
from tests.integration.peers import PATIENCE, Peers, collect_events
from tests.integration.wire import (
    CORRELATION_ID,
    DEADLINE,
    ERROR,
    IS_DISPOSED,
    REPLY_TOPIC,
    SEQUENCE,
    Wire,
)
from tests.support.waiting import eventually

DISPOSED = (IS_DISPOSED, b"\x00")


# Who does what


def test_member_and_fetcher_are_two_consumers(peers: Peers):
    topic = peers.topic(partitions=2)
    server = peers.server()
    server.event_pattern(topic)(lambda event: None)

    with server:
        producer, member, fetcher = server.unwrap()
        group = server.run_on_consumer_thread(
            lambda consumer: (consumer.assignment(), consumer.paused(), consumer.config["group_id"])
        )

    assert isinstance(member, KafkaConsumer)
    assert isinstance(fetcher, KafkaConsumer)
    both = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    assert group == (both, both, server.group_id)
    assert fetcher.config["group_id"] is None
    assert producer.config["client_id"] == "hero-server"


def test_handlers_run_in_workers_and_in_parallel(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server(run={"workers": 4})
    together = threading.Barrier(4, timeout=PATIENCE)

    @server.message_pattern(pattern)
    def meet(payload):
        together.wait()
        return threading.current_thread().name

    with server, peers.client(pattern) as client:
        futures = [client.send_future(pattern, number, timeout=PATIENCE) for number in range(4)]
        names = {future.result(PATIENCE) for future in futures}

    assert names == {f"kafka-patterns-hero-server-worker-{index}" for index in range(4)}


def test_events_of_a_partition_run_in_order_and_those_of_others_in_parallel(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic(partitions=2)
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def entered(event):
        if event == "first of 0":
            assert gate.wait(PATIENCE)
        seen.append(event)

    with server:
        wire.produce(topic, b"first of 0", partition=0)
        wire.produce(topic, b"second of 0", partition=0)
        wire.produce(topic, b"first of 1", partition=1)
        wire.produce(topic, b"second of 1", partition=1)
        eventually(lambda: len(seen) == 2)
        assert seen == ["first of 1", "second of 1"]

        gate.set()
        eventually(lambda: len(seen) == 4)

    assert seen[2:] == ["first of 0", "second of 0"]


def test_requests_of_one_key_run_in_order_and_those_of_others_in_parallel(
    peers: Peers, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def work(payload):
        if payload == "wait":
            assert gate.wait(PATIENCE)
        return payload

    def ask(client, key, value):
        return client.send_future(pattern, Message(key=key, value=value), timeout=PATIENCE)

    with server, peers.client(pattern) as client:
        held = ask(client, "a", "wait")
        behind = ask(client, "a", "second")
        assert ask(client, "b", "other key").result(PATIENCE) == "other key"
        assert client.send(pattern, "no key", timeout=PATIENCE) == "no key"
        assert not held.done()
        assert not behind.done()

        gate.set()
        assert [held.result(PATIENCE), behind.result(PATIENCE)] == ["wait", "second"]


def test_handler_slower_than_the_session_timeout_stays_in_the_group(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server(
        consumer={"session_timeout_ms": 3000, "heartbeat_interval_ms": 200},
        run={"rebalance_timeout_ms": 500},
    )
    statuses: list[KafkaStatus] = []
    attempts: list[int] = []

    @server.event_pattern(topic)
    def slow(event, context: KafkaContext):
        attempts.append(context.attempt)
        until = time.monotonic() + 4
        eventually(lambda: time.monotonic() > until)
        context.heartbeat()

    server.status.subscribe(statuses.append)
    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1}, PATIENCE)

    assert attempts == [1]
    assert KafkaStatus.REBALANCING not in statuses


# Where handlers come from


def test_methods_of_a_controller_are_handlers(peers: Peers):
    killing, entering = peers.topic(replies=1), peers.topic()

    class HeroController:
        def __init__(self, realm):
            self.realm = realm
            self.entered = []

        @message_pattern(killing)
        def kill_dragon(self, payload):
            return {"realm": self.realm, "killed": payload["id"]}

        @event_pattern(entering)
        def hero_entered(self, event):
            self.entered.append(event)

    controller = HeroController("Nest")
    server = peers.server()
    server.add_controller(controller)

    with server, peers.client(killing) as client:
        client.emit(entering, {"id": 1})
        answer = client.send(killing, {"id": 3}, timeout=PATIENCE)
        eventually(lambda: controller.entered)

    assert answer == {"realm": "Nest", "killed": 3}
    assert controller.entered == [{"id": 1}]


def test_functions_of_a_module_are_handlers(peers: Peers, wire: Wire):
    killing, entering = peers.topic(replies=1), peers.topic()
    module = ModuleType("hero_handlers")
    source = f"""
from kafka_patterns import event_pattern, message_pattern
seen = []

@message_pattern({killing!r})
def kill_dragon(payload):
    return {{"killed": payload["id"]}}

@event_pattern({entering!r})
def hero_entered(event):
    seen.append(event)
"""
    exec(compile(source, module.__name__, "exec"), vars(module))
    server = peers.server()
    server.include(module)
    server.include(module)  # it changes nothing

    with server, peers.client(killing) as client:
        client.emit(entering, {"id": 1})
        assert client.send(killing, {"id": 3}, timeout=PATIENCE) == {"killed": 3}
        eventually(lambda: wire.committed(server.group_id, entering) == {0: 1})
    assert module.seen == [{"id": 1}]


def test_one_handler_serves_several_patterns(peers: Peers):
    patterns = [peers.topic(replies=1), peers.topic(replies=1)]
    server = peers.server()

    @server.message_pattern(patterns)
    def which(payload, context: KafkaContext):
        return context.pattern

    with server, peers.client(*patterns) as client:
        assert [client.send(p, 1, timeout=PATIENCE) for p in patterns] == patterns


@pytest.mark.parametrize("first", ["message", "event"])
def test_two_handlers_that_cannot_stand_together_are_refused(peers: Peers, first):
    pattern = peers.topic()
    server = peers.server()

    def one(payload): ...

    def other(payload): ...

    getattr(server, f"{first}_pattern")(pattern)(one)

    with pytest.raises(ConfigurationError, match=f"'{pattern}' has two handlers.*one.*other"):
        server.message_pattern(pattern)(other)


# Replies


@attrs.frozen
class Item:
    name: str
    price: float


ROWS = [
    pytest.param(lambda _: None, None, None, id="null"),
    pytest.param(lambda _: "text", None, b"text", id="str"),
    pytest.param(lambda _: "", None, b"", id="empty str"),
    pytest.param(lambda _: 5, None, b"5", id="int"),
    pytest.param(lambda _: 1.0, None, b"1", id="float"),
    pytest.param(lambda _: False, None, b"false", id="bool"),
    pytest.param(lambda _: b"\x00\xff", None, b"\x00\xff", id="bytes"),
    pytest.param(lambda _: {"ä": [1, None]}, None, '{"ä":[1,null]}'.encode(), id="object"),
    pytest.param(lambda _: [{}, "x"], None, b'[{},"x"]', id="array"),
    pytest.param(lambda _: Item("sword", 2.5), None, b'{"name":"sword","price":2.5}', id="attrs"),
    pytest.param(lambda _: {"key": 7, "value": {"x": 1}}, b"7", b'{"x":1}', id="envelope"),
    pytest.param(lambda _: {"key": "k"}, b"k", None, id="envelope without value"),
    pytest.param(lambda _: Message(value={"value": 1, "y": 2}), None, b'{"value":1,"y":2}'),
]


@pytest.mark.parametrize(("handler", "key", "value"), ROWS)
def test_reply_is_one_record_with_the_value_and_its_end(
    peers: Peers, wire: Wire, handler, key, value
):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(handler)

    with server:
        (reply,) = wire.request(pattern, b"{}")

    assert (reply.key, reply.value) == (key, value)
    assert reply.header_names == [CORRELATION_ID, IS_DISPOSED]
    assert reply.headers[1] == DISPOSED


def test_headers_of_an_envelope_stand_before_those_of_the_reply(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def kill(payload):
        return {"key": "k", "value": "v", "headers": {"realm": "Nest", "raw": b"\xff"}}

    with server:
        (reply,) = wire.request(pattern, b"{}", headers=[("theirs", b"not copied")])

    assert (reply.key, reply.value) == (b"k", b"v")
    assert reply.headers[:2] == [("realm", b"Nest"), ("raw", b"\xff")]
    assert reply.header_names[2:] == [CORRELATION_ID, IS_DISPOSED]


def test_generator_sends_its_values_in_order_and_marks_the_last(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield 1
        yield {"two": 2}
        yield 3

    with server:
        replies = wire.request(pattern, b"{}")

    assert [reply.value for reply in replies] == [b"1", b'{"two":2}', b"3"]
    assert [DISPOSED in reply.headers for reply in replies] == [False, False, True]


def test_generator_that_ends_late_sends_an_empty_end(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    reply_topic = f"{pattern}.reply"
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield "chapter"
        assert gate.wait(PATIENCE)

    with server, peers.client(pattern) as client:
        stream = client.stream(pattern, {}, timeout=PATIENCE)
        assert next(stream) == "chapter"
        gate.set()
        assert list(stream) == []
        chapter, end = wire.records(reply_topic)

    assert (chapter.value, chapter.header_names) == (b"chapter", [CORRELATION_ID, SEQUENCE])
    assert (end.value, end.header_names) == (None, [CORRELATION_ID, SEQUENCE, IS_DISPOSED])
    assert (chapter.header(SEQUENCE), end.header(SEQUENCE)) == (b"0", b"1")


def test_items_are_numbered_for_callers_of_our_own_kind_alone(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield 1
        yield 2

    with server:
        of_nest = wire.request(pattern, b"{}")
        of_ours = wire.request(pattern, b"{}", headers=[(DEADLINE, b"%d" % 2**53)])

    assert [SEQUENCE in reply.header_names for reply in of_nest] == [False, False]
    assert [reply.header(SEQUENCE) for reply in of_ours] == [b"0", b"1"]


def test_single_reply_has_no_number(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def answer(payload):
        return 1

    with server:
        (reply,) = wire.request(pattern, b"{}", headers=[(DEADLINE, b"%d" % 2**53)])

    assert reply.header_names == [CORRELATION_ID, IS_DISPOSED]


def test_stream_that_begins_again_on_another_server_is_read_once(
    peers: Peers, wire: Wire, gate: threading.Event
):
    pattern = peers.topic(replies=1)
    first, second = peers.server(run={"auto_commit": False}), peers.server()

    @first.message_pattern(pattern)
    def breaks_off(payload):
        yield "one"
        yield "two"
        assert gate.wait(PATIENCE)

    @second.message_pattern(pattern)
    def story(payload):
        yield from ("one", "two", "three")

    with peers.client(pattern) as client:
        first.start()
        stream = client.stream(pattern, {}, timeout=PATIENCE)
        read = [next(stream), next(stream)]
        first.stop(0.2)
        with second:
            read += stream
        gate.set()

    assert read == ["one", "two", "three"]
    values = [reply.value for reply in wire.records(f"{pattern}.reply")]
    assert values[:5] == [b"one", b"two", b"one", b"two", b"three"]


def test_generator_without_values_is_answered_with_null(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield from ()

    with server:
        (reply,) = wire.request(pattern, b"{}")

    assert (reply.value, reply.header_names) == (None, [CORRELATION_ID, IS_DISPOSED])


ERRORS = [
    (RpcException("boom"), b'{"status":"error","message":"boom"}'),
    (RpcException({"code": 4, "message": "m"}), b'{"code":4,"message":"m"}'),
    (RpcException([1, 2]), b"[1,2]"),
    (RpcException(5), b'{"status":"error","message":5}'),
    (RpcException(), b'{"status":"error"}'),
    (ValueError("a secret"), b'{"status":"error","message":"Internal server error"}'),
]


@pytest.mark.parametrize(("error", "header"), ERRORS, ids=lambda value: str(value)[:20])
def test_exception_of_a_handler_is_answered_as_nestjs_does(peers: Peers, wire: Wire, error, header):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def fail(payload):
        raise error

    with server:
        (reply,) = wire.request(pattern, b"{}")

    assert (reply.key, reply.value) == (None, None)
    assert reply.header_names == [CORRELATION_ID, ERROR, IS_DISPOSED]
    assert reply.headers[1:] == [(ERROR, header), DISPOSED]


def test_values_before_an_error_are_sent(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()

    @server.message_pattern(pattern)
    def story(payload):
        yield "chapter"
        raise RpcException("lost")

    with server:
        chapter, end = wire.request(pattern, b"{}")

    assert (chapter.value, chapter.header_names) == (b"chapter", [CORRELATION_ID])
    assert (end.value, end.header_names) == (None, [CORRELATION_ID, ERROR, IS_DISPOSED])


def test_request_without_message_handler_gets_the_bare_text_of_nestjs(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.event_pattern(pattern)(lambda event: None)

    with server:
        (reply,) = wire.request(pattern, b"{}")

    text = b"There is no matching message handler defined in the remote service."
    assert reply.headers[1:] == [(ERROR, text)]


def test_request_that_events_take_their_time_for_is_answered_once(peers: Peers, wire: Wire):
    """By events that are deferred, given up, tried again from another topic, or in batches."""
    deferred, dead, again, batch = (peers.topic(replies=1) for _ in range(4))
    peers.broker.create_topic(f"{dead}-dlt")
    server = peers.server()
    handled = []

    @server.event_pattern(deferred)
    def defer(event, context: KafkaContext):
        threading.Timer(0.05, context.defer().done).start()

    @server.event_pattern(dead, dead_letter=DeadLetter(), retry=Retry(max_attempts=1))
    def give_up(event):
        raise ValueError("never")

    @server.event_pattern(again, retry=RetryTopics(delays=(0.01,)))
    def try_again(event, context: KafkaContext):
        handled.append(context.attempt)
        if context.attempt == 1:
            raise ValueError("not yet")

    @server.event_pattern(batch, batch=Batch(max_wait=0.01))
    def take(events):
        handled.extend(events)

    with server:
        replies = [wire.request(topic, b"{}") for topic in (deferred, dead, again, batch)]
        eventually(lambda: 2 in handled)
        retry_topic = f"{again}-{server.group_id}-retry-1"
        read = (deferred, dead, again, batch, retry_topic)
        eventually(
            lambda: [wire.committed(server.group_id, topic).get(0) for topic in read] == [1] * 5,
            describe=lambda: str([wire.committed(server.group_id, topic) for topic in read]),
        )

    text = b"There is no matching message handler defined in the remote service."
    assert [reply.headers[1:] for (reply,) in replies] == [[(ERROR, text)]] * 4
    assert [len(wire.records(f"{topic}.reply")) for topic in (deferred, dead, again, batch)] == [
        *([1] * 4)
    ]


def test_reply_that_cannot_be_written_is_answered_with_an_error(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: {"what": object()})

    with server:
        (reply,) = wire.request(pattern, b"{}")
        committed = eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert b"object" in reply.header(ERROR)
    assert committed


def test_reply_that_is_too_large_is_answered_with_an_error(peers: Peers):
    pattern = peers.topic(replies=1)
    server = peers.server(producer={"max_request_size": 10_000})
    server.message_pattern(pattern)(lambda payload: "x" * 20_000)

    refused = pytest.raises(RpcException, match="the reply could not be sent")
    with server, peers.client(pattern) as client, refused:
        client.send(pattern, {}, timeout=PATIENCE)


def test_request_is_finished_only_when_its_reply_is_acknowledged(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=1)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)

    with server:
        wire.request(pattern, b"hero")
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert wire.ends(f"{pattern}.reply") == {0: 1}


@pytest.mark.parametrize("reply_topic", ["{pattern}", "{other}", "__consumer_offsets", "not/legal"])
def test_replies_go_to_no_topic_that_a_stranger_names(peers: Peers, wire: Wire, reply_topic):
    pattern, other = peers.topic(replies=1), peers.topic()
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: "a secret")
    address = reply_topic.format(pattern=pattern, other=other).encode()

    with server:
        wire.produce(
            pattern, b"hero", headers=[(CORRELATION_ID, b"forged"), (REPLY_TOPIC, address)]
        )
        eventually(lambda: wire.committed(server.group_id, pattern) == {0: 1})

    assert wire.ends(pattern) == {0: 1}
    assert wire.ends(other) == {0: 0}


def test_binary_correlation_id_and_partition_of_spring_are_understood(peers: Peers, wire: Wire):
    pattern = peers.topic(replies=2)
    server = peers.server()
    server.message_pattern(pattern)(lambda payload: payload)
    correlation_id = bytes(range(0xF0, 0x100))

    with server:
        wire.produce(
            pattern,
            b"hero",
            headers=[
                (CORRELATION_ID, correlation_id),
                (REPLY_TOPIC, f"{pattern}.reply".encode()),
                ("kafka_replyPartition", (1).to_bytes(4, "big")),
            ],
        )
        eventually(lambda: wire.ends(f"{pattern}.reply") == {0: 0, 1: 1})

    (reply,) = wire.records(f"{pattern}.reply")
    assert reply.header(CORRELATION_ID) == correlation_id


# Several event handlers


def test_every_event_handler_of_a_topic_gets_the_event(peers: Peers, wire: Wire):
    topic = peers.topic()
    server = peers.server()
    seen = []

    @server.event_pattern(topic)
    def first(event):
        seen.append(("first", event))

    @server.event_pattern(topic)
    def second(event):
        seen.append(("second", event))

    with server:
        wire.produce(topic, b"hero")
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 1})

    assert seen == [("first", "hero"), ("second", "hero")]


# Offsets


def test_offset_is_committed_only_below_the_first_unfinished_record(
    peers: Peers, wire: Wire, gate: threading.Event
):
    topic = peers.topic(partitions=2)
    server = peers.server()
    seen = []

    @server.event_pattern(topic, ordering="unordered")
    def entered(event):
        if event == "held":
            assert gate.wait(PATIENCE)
        seen.append(event)

    with server:
        for value in (b"zero", b"held", b"two", b"three"):
            wire.produce(topic, value, partition=0)
        eventually(lambda: sorted(seen) == ["three", "two", "zero"])
        # A commit of the other partition is one that partition 0 was part of as well.
        wire.produce(topic, b"other", partition=1)
        eventually(lambda: wire.committed(server.group_id, topic).get(1) == 1)
        assert wire.committed(server.group_id, topic) == {0: 1, 1: 1}

        gate.set()
        eventually(lambda: wire.committed(server.group_id, topic) == {0: 4, 1: 1})


@pytest.mark.parametrize(("from_beginning", "start"), [(False, 3), (True, 0)])
def test_start_position_is_committed_before_the_first_record_is_handled(
    peers: Peers, wire: Wire, from_beginning, start
):
    topic = peers.topic()
    for value in (b"0", b"1", b"2"):
        wire.produce(topic, value)
    server = peers.server(subscribe={"from_beginning": from_beginning}, run={"auto_commit": False})
    committed_before = []

    @server.event_pattern(topic)
    def entered(event, context: KafkaContext):
        partition = TopicPartition(topic, 0)
        committed_before.append((event, context.consumer.committed([partition])[partition]))

    with server:
        assert wire.committed(server.group_id, topic) == {0: start}
        wire.produce(topic, b"3")
        eventually(lambda: committed_before[-1:] == [("3", start)])

    assert committed_before == [(str(number), start) for number in range(start, 4)]


def test_group_that_begins_at_the_end_misses_nothing_at_a_hand_over(peers: Peers, wire: Wire):
    topic = peers.topic()
    wire.produce(topic, b"before the group")
    first = peers.server()
    collect_events(first, topic)

    with first:
        pass
    wire.produce(topic, b"between")
    second = peers.server()
    seen = collect_events(second, topic)
    with second:
        wire.produce(topic, b"after")
        eventually(lambda: len(seen) == 2)

    assert seen == ["between", "after"]


def test_server_without_handlers_does_not_start(peers: Peers):
    with pytest.raises(ConfigurationError, match="the server has no handler"):
        peers.server().start()


def test_handlers_cannot_be_added_while_it_runs(peers: Peers):
    topic = peers.topic()
    server = peers.server()
    server.event_pattern(topic)(lambda event: None)

    with server, pytest.raises(ConfigurationError, match=r"must come before start\(\)"):
        server.event_pattern("another")(lambda event: None)
