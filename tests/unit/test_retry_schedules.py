"""When exactly a failing message is tried again, in a time that the tests move on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kafka_patterns import (
    Batch,
    BatchItemFailed,
    KafkaContext,
    KafkaRetriableException,
    Retry,
    RpcException,
    event_pattern,
    exponential,
    fixed,
    message_pattern,
)
from kafka_patterns.headers import CORRELATION_ID, DEADLINE, ERROR, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs
from tests.unit.server_in_fake_time import WALL, ServerInFakeTime

TOPIC = "hero.paid"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, b"hero.paid.reply")]
NO_JITTER = exponential(1, maximum=4, jitter=0)


class Tries:
    """Notes when it was tried, and fails as often as it is told."""

    def __init__(self, failures: float = 1e9, error: Exception | None = None) -> None:
        self.at: list[float] = []
        self.attempts: list[int] = []
        self._failures = failures
        self._error = error or ValueError("no")
        self.server: ServerInFakeTime | None = None

    def note(self, context: KafkaContext) -> None:
        assert self.server is not None
        self.at.append(self.server.time.now)
        self.attempts.append(context.attempt)
        if len(self.at) <= self._failures:
            raise self._error


def events(tries: Tries, **options: Any) -> ServerInFakeTime:
    """A server of one event handler."""

    @event_pattern(TOPIC, **options)
    def on_paid(event: Any, context: KafkaContext) -> None:
        tries.note(context)

    tries.server = ServerInFakeTime(on_paid)
    return tries.server


def requests(tries: Tries, **options: Any) -> ServerInFakeTime:
    """A server of one message handler."""

    @message_pattern(TOPIC, **options)
    def on_pay(payload: Any, context: KafkaContext) -> str:
        tries.note(context)
        return "paid"

    tries.server = ServerInFakeTime(on_pay)
    return tries.server


class TestEvents:
    def test_waits_grow_until_the_attempts_are_used_up(self) -> None:
        tries = Tries()
        server = events(tries, retry=Retry(max_attempts=5, backoff=NO_JITTER))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1, 3, 7, 11]
        assert tries.attempts == [1, 2, 3, 4, 5]
        assert server.position(TOPIC) == 1
        assert server.counters.snapshot()["given_up"] == 1

    def test_success_ends_the_tries(self) -> None:
        tries = Tries(failures=2)
        server = events(tries, retry=Retry(backoff=fixed(10)))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 10, 20]
        assert "given_up" not in server.counters.snapshot()

    def test_own_function_of_the_number_of_failures_decides_the_waits(self) -> None:
        tries = Tries()
        server = events(tries, retry=Retry(max_attempts=4, backoff=lambda failures: failures**2))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1, 5, 14]

    def test_no_try_begins_after_the_total_time(self) -> None:
        tries = Tries()
        retry = Retry(max_attempts=None, backoff=fixed(10), max_elapsed=25)
        server = events(tries, retry=retry)

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 10, 20]

    def test_next_message_of_the_lane_begins_anew(self) -> None:
        tries = Tries()
        server = events(tries, retry=Retry(max_attempts=2, backoff=fixed(3), max_elapsed=5))

        server.feed(TOPIC, b"1", b"2")
        server.run()

        assert tries.at == [0, 3, 3, 6]
        assert tries.attempts == [1, 2, 1, 2]

    @pytest.mark.parametrize(
        ("retry", "error"),
        [
            (Retry(unless=ValueError), ValueError()),
            (Retry(on=(KeyError, OSError)), ValueError()),
            (Retry(retry_if=lambda error: "busy" in str(error)), ValueError("wrong")),
        ],
    )
    def test_what_the_policy_excludes_is_given_up_at_once(self, retry: Retry, error: Any) -> None:
        tries = Tries(error=error)
        server = events(tries, retry=retry)

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0]
        assert server.position(TOPIC) == 1

    def test_without_a_policy_it_is_tried_for_ever(self) -> None:
        tries = Tries()
        server = events(tries)

        server.feed(TOPIC, b"1")
        server.run(until=40)

        assert tries.at == [0, 1, 3, 7, 15, 23, 31, 39]
        assert server.position(TOPIC) == 0

    def test_filter_is_asked_before_the_policy(self) -> None:
        tries = Tries(error=KafkaRetriableException("busy"))
        server = events(tries, retry=Retry(unless=(KafkaRetriableException,), backoff=fixed(1)))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1, 2, 3, 4]

    def test_handlers_of_one_event_wait_for_the_longest_wait(self) -> None:
        short, long = Tries(failures=1), Tries(failures=1)

        @event_pattern(TOPIC, retry=Retry(backoff=fixed(1)))
        def first(event: Any, context: KafkaContext) -> None:
            short.note(context)

        @event_pattern(TOPIC, retry=Retry(backoff=fixed(5)))
        def second(event: Any, context: KafkaContext) -> None:
            long.note(context)

        server = ServerInFakeTime(first, second)
        short.server = long.server = server
        server.feed(TOPIC, b"1")
        server.run()

        assert short.at == long.at == [0, 5]

    def test_deferred_event_that_fails_is_tried_again(self) -> None:
        tried_at: list[float] = []

        @event_pattern(TOPIC, retry=Retry(max_attempts=3, backoff=fixed(2)))
        def on_paid(event: Any, context: KafkaContext) -> None:
            tried_at.append(server.time.now)
            acknowledgement = context.defer()
            server.time.after(1, lambda: acknowledgement.failed(ValueError("later")))

        server = ServerInFakeTime(on_paid)
        server.feed(TOPIC, b"1")
        server.run()

        assert tried_at == [0, 3, 6]
        assert server.position(TOPIC) == 1

    def test_policy_that_fails_itself_loses_nothing(self) -> None:
        tries = Tries(failures=1)
        server = events(tries, retry=Retry(backoff=lambda failures: -1.0))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1]


class TestHopeless:
    def wrong(self, **options: Any) -> tuple[ServerInFakeTime, list[float]]:
        tried_at: list[float] = []

        @event_pattern(TOPIC, **options)
        def on_paid(event: int) -> None:
            tried_at.append(server.time.now)

        server = ServerInFakeTime(on_paid)
        return server, tried_at

    def test_payload_that_does_not_fit_is_held_and_not_dropped(self) -> None:
        server, tried_at = self.wrong(retry=Retry(max_attempts=2))

        server.feed(TOPIC, b'{"no":"number"}')
        server.run(until=100)

        assert tried_at == []
        assert server.position(TOPIC) == 0

    def test_call_that_the_signature_refuses_is_held_and_not_dropped(self) -> None:
        calls: list[float] = []

        class Handler:
            def __call__(self, event: Any) -> None: ...

        handler = Handler()
        event_pattern(TOPIC, retry=Retry(max_attempts=2))(handler)
        server = ServerInFakeTime(handler)

        def changed(self: Any) -> None:
            calls.append(server.time.now)

        Handler.__call__ = changed  # type: ignore[method-assign, assignment]
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert calls == []
        assert server.position(TOPIC) == 0
        assert server.counters.snapshot()["failed"] > 5

    def test_type_error_from_inside_the_handler_is_tried_again(self) -> None:
        tries = Tries(failures=1, error=TypeError("inside"))
        server = events(tries, retry=Retry(backoff=fixed(1)))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1]


class TestRequests:
    def answers(self, server: ServerInFakeTime) -> list[bytes | None]:
        return [dict(message.headers).get(ERROR) for _, message in server.producer.sent]

    def test_error_is_answered_after_the_last_attempt(self) -> None:
        tries = Tries()
        server = requests(tries, retry=Retry(max_attempts=4, backoff=NO_JITTER))

        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        assert tries.at == [0, 1, 3, 7]
        assert self.answers(server) == [b'{"status":"error","message":"Internal server error"}']
        assert server.position(TOPIC) == 1

    def test_success_is_answered_once(self) -> None:
        tries = Tries(failures=2)
        server = requests(tries, retry=Retry(backoff=fixed(1)))

        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        assert tries.at == [0, 1, 2]
        assert [message.value for _, message in server.producer.sent] == [b"paid"]

    def test_no_try_begins_after_the_callers_deadline(self) -> None:
        tries = Tries()
        server = requests(tries, retry=Retry(max_attempts=None, backoff=fixed(2)))
        deadline = (DEADLINE, b"%d" % ((WALL + 5) * 1000))

        server.feed(TOPIC, b"1", headers=[*REQUEST, deadline])
        server.run()

        assert tries.at == [0, 2, 4]
        assert len(self.answers(server)) == 1

    def test_answer_that_is_an_error_is_not_tried_again(self) -> None:
        tries = Tries(error=RpcException("not found"))
        server = requests(tries, retry=Retry())

        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        assert tries.at == [0]
        assert self.answers(server) == [b'{"status":"error","message":"not found"}']

    def test_without_a_policy_only_retriable_errors_are_tried_again(self) -> None:
        tries = Tries(failures=2, error=KafkaRetriableException("busy"))
        server = requests(tries)
        deadline = (DEADLINE, b"%d" % ((WALL + 1) * 1000))

        server.feed(TOPIC, b"1", headers=[*REQUEST, deadline])
        server.run()

        assert tries.at == [0, 1, 3]

    def test_message_without_return_address_is_given_up_like_an_event(self) -> None:
        tries = Tries()
        server = requests(tries, retry=Retry(max_attempts=2, backoff=fixed(1)))

        server.feed(TOPIC, b"1")
        server.run()

        assert tries.at == [0, 1]
        assert server.position(TOPIC) == 1


class TestStreams:
    def stream(self, fails_after: int) -> tuple[ServerInFakeTime, list[float]]:
        tried_at: list[float] = []

        @message_pattern(TOPIC, retry=Retry(max_attempts=3, backoff=fixed(5)))
        def story(payload: Any) -> Any:
            tried_at.append(server.time.now)
            yield from ("a", "b")[:fails_after]
            raise ValueError("lost the thread")

        server = ServerInFakeTime(story)
        return server, tried_at

    def test_stream_is_tried_again_before_its_first_value(self) -> None:
        server, tried_at = self.stream(fails_after=0)

        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        assert tried_at == [0, 5, 10]
        assert len(server.producer.sent) == 1

    def test_stream_that_sent_a_value_ends_with_the_error(self) -> None:
        server, tried_at = self.stream(fails_after=1)

        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()

        assert tried_at == [0]
        assert [message.value for _, message in server.producer.sent] == [b"a", None]


class TestBatches:
    Handle = Callable[[list[Any]], None]

    def batches(
        self, handle: Handle, *, max_size: int = 3, max_attempts: int = 3
    ) -> tuple[ServerInFakeTime, list[tuple[float, list[Any]]]]:
        seen: list[tuple[float, list[Any]]] = []
        retry = Retry(max_attempts=max_attempts, backoff=NO_JITTER)

        @event_pattern(TOPIC, batch=Batch(max_size=max_size, max_wait=0), retry=retry)
        def on_paid(batch: list[int]) -> None:
            seen.append((server.time.now, batch))
            handle(batch)

        server = ServerInFakeTime(on_paid)
        return server, seen

    def test_failed_item_is_tried_and_given_up_and_the_others_go_on(self) -> None:
        def handle(batch: list[Any]) -> None:
            if 2 in batch:
                raise BatchItemFailed(batch.index(2), ValueError("two"))

        server, seen = self.batches(handle)
        server.feed(TOPIC, b"1", b"2", b"3")
        server.run()

        assert seen == [(0, [1, 2, 3]), (1, [2, 3]), (3, [2, 3]), (3, [3])]
        assert server.position(TOPIC) == 3

    def test_items_whose_turn_did_not_come_keep_their_attempts(self) -> None:
        def handle(batch: list[Any]) -> None:
            raise BatchItemFailed(0, ValueError("the first"))

        server, seen = self.batches(handle, max_attempts=2)
        server.feed(TOPIC, b"1", b"2")
        server.run()

        assert [(when, batch[0]) for when, batch in seen] == [(0, 1), (1, 1), (1, 2), (2, 2)]

    def test_batch_that_fails_as_a_whole_is_given_up_as_a_whole(self) -> None:
        def handle(batch: list[Any]) -> None:
            raise ValueError("all of it")

        server, seen = self.batches(handle)
        server.feed(TOPIC, b"1", b"2", b"3")
        server.run()

        assert seen == [(when, [1, 2, 3]) for when in (0, 1, 3)]
        assert server.counters.snapshot()["given_up"] == 3

    def test_message_that_joined_a_failing_batch_late_has_its_own_attempts(self) -> None:
        def handle(batch: list[Any]) -> None:
            if len(seen) == 1:
                server.feed(TOPIC, b"2")
            raise ValueError("all of it")

        server, seen = self.batches(handle)
        server.feed(TOPIC, b"1")
        server.run()

        assert seen == [(0, [1]), (1, [1, 2]), (3, [1, 2]), (3, [2])]
        assert server.position(TOPIC) == 2
