"""What a handler asks of the consumer is done, also while a rebalance waits for that handler."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from kafka_patterns import KafkaContext, KafkaStatus
from kafka_patterns.message import TopicPartition
from tests.integration.peers import PATIENCE, Peers
from tests.integration.wire import Wire
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("no_logs")]

LONG = {"rebalance_timeout_ms": 2_500}


def commit(context: KafkaContext) -> None:
    context.commit()


def commit_offsets(context: KafkaContext) -> None:
    place = TopicPartition(context.topic, context.partition)
    context.consumer.commit_offsets({place: context.message.offset + 1})


def ask_for_offsets(context: KafkaContext) -> None:
    context.consumer.committed([TopicPartition(context.topic, context.partition)])


def use_the_consumer(context: KafkaContext) -> None:
    context.consumer.run_on_consumer_thread(lambda consumer: consumer.assignment(), PATIENCE)


@pytest.mark.parametrize(
    "command",
    [
        # Its rebalancing groups take no commits.
        pytest.param(commit, marks=pytest.mark.real_kafka),
        pytest.param(commit_offsets, marks=pytest.mark.real_kafka),
        ask_for_offsets,
        use_the_consumer,
    ],
)
def test_command_of_a_handler_is_done_while_a_rebalance_waits_for_it(
    peers: Peers, wire: Wire, command: Callable[[KafkaContext], None]
):
    topic = peers.topic(partitions=2)
    tuning = {"session_timeout_ms": 6_000}
    first, second = (peers.server(run=LONG, consumer=tuning) for _ in range(2))
    began, rebalancing = threading.Event(), threading.Event()
    ended: list[BaseException | None] = []
    commanded_while: list[KafkaStatus | None] = []

    @first.event_pattern(topic)
    def handle(_: str, context: KafkaContext) -> None:
        began.set()
        assert rebalancing.wait(PATIENCE)
        try:
            command(context)
        except BaseException as error:  # noqa: BLE001  whatever it is, the test fails with it
            ended.append(error)
        else:
            ended.append(None)
        commanded_while.append(first.status.current)

    second.event_pattern(topic)(lambda _: None)

    def note(status: KafkaStatus) -> None:
        if status is KafkaStatus.REBALANCING:
            rebalancing.set()

    with first:
        wire.produce(topic, b"hero")
        assert began.wait(PATIENCE)
        first.status.subscribe(note)
        with second:
            eventually(lambda: ended, PATIENCE)

    assert ended[0] is None
    # The rebalance still waited for this very handler.
    assert commanded_while[0] is KafkaStatus.REBALANCING
    assert first.status.current is KafkaStatus.STOPPED
