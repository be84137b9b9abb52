"""A broker that dies under load and comes back: nothing hangs, nobody starts anything again."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable

import attrs
import pytest

from kafka_patterns import ClientKafkaProxy, KafkaStatus, RequestTimeout, SendFailed
from tests.integration.outage import bring_back, take_away
from tests.integration.peers import PATIENCE, Peers
from tests.support.backends import TestBroker
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_kafka, pytest.mark.timeout(180)]

TIMEOUT = 3.0
CALLERS = 4
ANSWERED = "answered"


@attrs.define
class Load:
    """Threads that do one thing after the other, and what became of each."""

    stopped: threading.Event = attrs.Factory(threading.Event)
    threads: list[threading.Thread] = attrs.Factory(list)
    outcomes: Counter[str] = attrs.Factory(Counter)
    longest: float = 0.0
    changed: threading.Lock = attrs.Factory(threading.Lock)  # guards the two above

    def start(self, act: Callable[[str], str]) -> None:
        """Call *act*, which says what came of it, with one name after the other."""
        name = f"load-{len(self.threads)}"
        thread = threading.Thread(target=self._run, args=(act, name), name=name)
        self.threads.append(thread)
        thread.start()

    def _run(self, act: Callable[[str], str], name: str) -> None:
        for number in itertools.count():
            if self.stopped.is_set():
                return
            started = time.monotonic()
            outcome = act(f"{name}-{number}")
            with self.changed:
                self.outcomes[outcome] += 1
                self.longest = max(self.longest, time.monotonic() - started)

    def wait_for_more(self, outcome: str, count: int) -> None:
        """Wait until *outcome* came *count* more times."""
        goal = self.outcomes[outcome] + count
        eventually(lambda: self.outcomes[outcome] >= goal, 2 * PATIENCE)

    def stop(self) -> None:
        """Let every thread finish what it does now."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def load():
    load = Load()
    yield load
    load.stop()


def failed(outcomes: Counter[str]) -> int:
    return outcomes.total() - outcomes[ANSWERED]


def test_requests_end_in_their_reply_or_a_typed_error_within_their_timeout(
    own_broker: TestBroker, own_peers: Peers, load: Load
):
    pattern = own_peers.topic(partitions=2, replies=2)
    server, client = own_peers.server(), own_peers.client(pattern)
    server.message_pattern(pattern)(lambda payload: payload)
    statuses: list[KafkaStatus] = []
    server.status.subscribe(statuses.append)

    def ask(text: str) -> str:
        try:
            answer = client.send(pattern, text, timeout=TIMEOUT)
        except (RequestTimeout, SendFailed) as error:
            return type(error).__name__
        return ANSWERED if answer == text else f"{text} got {answer}"

    with server, client:
        for _ in range(CALLERS):
            load.start(ask)
        load.wait_for_more(ANSWERED, 200)
        take_away(own_broker)
        eventually(lambda: failed(load.outcomes) >= 2 * CALLERS, 2 * PATIENCE)
        bring_back(own_broker)
        load.wait_for_more(ANSWERED, 200)
        load.stop()
        for peer in (client, server):
            assert peer.status.wait_for(KafkaStatus.CONNECTED, PATIENCE)

    assert set(load.outcomes) <= {ANSWERED, "RequestTimeout", "SendFailed"}, load.outcomes
    assert load.longest < TIMEOUT + 10
    assert KafkaStatus.DISCONNECTED in statuses
    assert KafkaStatus.CRASHED not in statuses


def test_every_event_the_broker_took_is_handled_and_emitting_goes_on(
    own_broker: TestBroker, own_peers: Peers, load: Load
):
    topic = own_peers.topic(partitions=4)
    server, client = own_peers.server(), own_peers.client()
    handled: set[str] = set()
    taken: set[str] = set()

    @server.event_pattern(topic)
    def entered(event):
        handled.add(event)

    def emit(text: str) -> str:
        try:
            client.emit(topic, text, timeout=TIMEOUT)
        except SendFailed as error:
            return "unknown" if error.outcome_unknown else "not sent"
        taken.add(text)
        return ANSWERED

    with server, client:
        for _ in range(CALLERS):
            load.start(emit)
        load.wait_for_more(ANSWERED, 200)
        take_away(own_broker)
        eventually(lambda: failed(load.outcomes) >= CALLERS, 2 * PATIENCE)
        bring_back(own_broker)
        load.wait_for_more(ANSWERED, 200)
        load.stop()
        eventually(lambda: taken <= handled, 2 * PATIENCE)

    assert load.longest < TIMEOUT + 10


def test_what_was_under_way_when_the_broker_died_ends_by_itself(
    own_broker: TestBroker, own_peers: Peers, gate: threading.Event
):
    pattern = own_peers.topic(replies=1)
    server = own_peers.server()
    began = threading.Event()

    @server.message_pattern(pattern)
    def wait(payload):
        began.set()
        assert gate.wait(2 * PATIENCE)
        return payload

    with server, own_peers.client(pattern) as client:
        patient = ask_later(client, pattern, "patient", timeout=3 * PATIENCE)
        assert began.wait(PATIENCE)
        hasty = ask_later(client, pattern, "hasty", timeout=TIMEOUT)

        take_away(own_broker)
        gate.set()
        assert isinstance(hasty.exception(PATIENCE), (RequestTimeout, SendFailed))
        assert not patient.done()
        bring_back(own_broker)

        # The reply that could not be sent then is sent now.
        assert patient.result(2 * PATIENCE) == "patient"


def ask_later(client: ClientKafkaProxy, pattern: str, text: str, timeout: float):
    return client.send_future(pattern, text, timeout=timeout)
