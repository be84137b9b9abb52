"""What went through leaves memory by itself: no circle keeps it for the garbage collector."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from kafka_patterns import KafkaContext
from tests.integration.peers import PATIENCE, Peers
from tests.support.waiting import eventually

COUNT = 50


@pytest.fixture
def uncollected() -> Iterator[Callable[[], Counter[str]]]:
    """Counts, by class, what only a collection takes out of memory; none runs before."""
    gc.collect()
    gc.disable()

    def collect() -> Counter[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(each).__qualname__ for each in gc.garbage)

    yield collect
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
    gc.collect()


def test_finished_messages_are_no_garbage(
    peers: Peers, uncollected: Callable[[], Counter[str]]
) -> None:
    pattern = peers.topic(replies=1)
    events = peers.topic("hero.event")
    server = peers.server()
    seen = threading.Semaphore(0)

    @server.message_pattern(pattern)
    def echo(payload: object, context: KafkaContext) -> dict[str, object]:
        return {"offset": context.message.offset, "payload": payload}

    @server.event_pattern(events)
    def on_event(payload: object, context: KafkaContext) -> None:
        assert context.message.value == payload
        seen.release()

    with server.start(), peers.client(pattern) as client:
        for number in range(COUNT):
            client.send(pattern, {"number": number}, timeout=PATIENCE)
            client.send_future(pattern, {"number": number}, timeout=PATIENCE).result(PATIENCE)
            list(client.stream(pattern, {"number": number}, timeout=PATIENCE))
            client.emit(events, {"number": number})
        for _ in range(COUNT):
            assert seen.acquire(timeout=PATIENCE)
        eventually(lambda: server.health().in_flight == 0, PATIENCE)

        kept = {name: count for name, count in uncollected().items() if count >= COUNT}

    assert kept == {}
