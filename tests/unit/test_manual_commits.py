"""With ``run.auto_commit`` off: what ends without a handler's return is finished all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_patterns import (
    Batch,
    BatchItemFailed,
    DeadLetter,
    KafkaContext,
    MemoryStore,
    Middleware,
    Retry,
    RpcException,
    event_pattern,
    fixed,
    idempotent,
    message_pattern,
    use_filters,
)
from kafka_patterns.headers import CORRELATION_ID, DEADLINE, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs
from tests.unit.server_in_fake_time import ServerInFakeTime

TOPIC = "hero.paid"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, b"hero.paid.reply")]


class Ends:
    """A filter that ends everything."""

    def catch(self, exception: Any, context: Any) -> Any:
        return "ended"


class Skips(Middleware):
    """Does not call the handler."""

    def around(self, context: Any, call: Callable[[], Any]) -> Any:
        return "skipped"


class Swallows(Middleware):
    """Hides what the handler raised."""

    def around(self, context: Any, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ValueError:
            return "swallowed"


def position_after(
    *handlers: Callable[..., Any],
    headers: HeaderPairs | None = None,
    values: tuple[bytes, ...] = (b"1",),
    **options: Any,
) -> int:
    """What may be committed once the records went through."""
    server = ServerInFakeTime(*handlers, auto_commit=False, **options)
    server.feed(TOPIC, *values, headers=headers)
    server.run(until=1000)
    return server.position(TOPIC)


def requests(raises: type[BaseException] | None = None, **options: Any) -> Callable[..., Any]:
    @message_pattern(TOPIC, **options)
    def on_pay(payload: dict[str, int]) -> str:
        if raises is not None:
            raise raises("no")
        return "paid"

    return on_pay


def events(raises: type[BaseException] | None = None, **options: Any) -> Callable[..., Any]:
    @event_pattern(TOPIC, **options)
    def on_paid(event: dict[str, int]) -> None:
        if raises is not None:
            raise raises("no")

    return on_paid


class TestReturned:
    """Here the user commits, and nobody else."""

    def test_request_whose_handler_returned_waits_for_its_commit(self) -> None:
        assert position_after(requests(), values=(b"{}",), headers=REQUEST) == 0

    def test_event_whose_handler_returned_waits_for_its_commit(self) -> None:
        assert position_after(events(), values=(b"{}",)) == 0

    def test_event_that_was_tried_again_waits_for_its_commit(self) -> None:
        tries = []

        @message_pattern(TOPIC, retry=Retry(on=ValueError))
        def on_pay(payload: Any) -> str:
            tries.append(payload)
            if len(tries) == 1:
                raise ValueError
            return "paid"

        assert position_after(on_pay, headers=REQUEST) == 0
        assert len(tries) == 2

    def test_reply_of_a_filter_that_could_not_be_written_waits_for_the_next_try(self) -> None:
        tries = []

        class Unwritable:
            def catch(self, exception: Any, context: Any) -> Any:
                return object()

        @message_pattern(TOPIC, retry=Retry(on=Exception, backoff=fixed(1)))
        @use_filters(Unwritable())
        def on_pay(payload: Any) -> str:
            tries.append(payload)
            if len(tries) == 1:
                raise ValueError
            return "paid"

        assert position_after(on_pay, headers=REQUEST) == 0
        assert len(tries) == 2

    def test_stream_waits_for_its_commit(self) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> Iterator[int]:
            yield 1

        assert position_after(on_pay, headers=REQUEST) == 0
        assert position_after(on_pay, headers=REQUEST, middleware=[Swallows()]) == 0

    def test_batch_waits_for_its_commit(self) -> None:
        @event_pattern(TOPIC, batch=Batch(max_size=2, max_wait=0))
        def on_paid(events: list[Any]) -> None: ...

        assert position_after(on_paid, values=(b"1", b"2")) == 0

    @pytest.mark.parametrize("early", [True, False])
    def test_deferred_message_waits_for_its_commit(self, *, early: bool) -> None:
        later: list[Any] = []

        @event_pattern(TOPIC)
        def on_paid(event: Any, context: KafkaContext) -> None:
            later.append(context.defer())
            if early:
                later.pop().done()

        server = ServerInFakeTime(on_paid, auto_commit=False)
        server.feed(TOPIC, b"1")
        server.run()
        for acknowledgement in later:
            acknowledgement.done()

        assert server.position(TOPIC) == 0

    def test_commit_by_hand_finishes_it(self) -> None:
        @event_pattern(TOPIC)
        def on_paid(event: Any, context: KafkaContext) -> None:
            context.commit()

        assert position_after(on_paid) == 1


class TestRequests:
    def test_unreadable_one_that_was_answered_is_finished(self) -> None:
        assert position_after(requests(), headers=REQUEST) == 1

    @pytest.mark.parametrize("error", [ValueError, RpcException, SystemExit])
    def test_one_that_was_answered_with_an_error_is_finished(
        self, error: type[BaseException]
    ) -> None:
        assert position_after(requests(error), values=(b"{}",), headers=REQUEST) == 1

    def test_expired_one_is_finished(self) -> None:
        expired = [*REQUEST, (DEADLINE, b"%d" % int((time.time() - 60) * 1000))]

        assert position_after(requests(), values=(b"{}",), headers=expired, skip_expired=True) == 1

    def test_one_that_a_filter_answered_is_finished(self) -> None:
        handler = use_filters(Ends())(requests(ValueError))

        assert position_after(handler, values=(b"{}",), headers=REQUEST) == 1
        assert (
            position_after(handler, values=(b"{}",), headers=REQUEST, middleware=[Swallows()]) == 1
        )

    @pytest.mark.parametrize("middleware", [Skips(), Swallows()])
    def test_one_that_middleware_answered_is_finished(self, middleware: Middleware) -> None:
        handler = requests(ValueError)

        assert (
            position_after(handler, values=(b"{}",), headers=REQUEST, middleware=[middleware]) == 1
        )

    def test_stream_that_broke_off_is_finished(self) -> None:
        @message_pattern(TOPIC)
        def on_pay(payload: Any) -> Iterator[int]:
            yield 1
            raise ValueError

        assert position_after(on_pay, headers=REQUEST) == 1
        assert position_after(on_pay, headers=REQUEST, middleware=[Swallows()]) == 1

    def test_one_without_a_way_back_is_finished(self) -> None:
        assert (
            position_after(
                requests(ValueError),
                values=(b"{}",),
                headers=REQUEST,
                allow_reply_topic=lambda topic: False,
            )
            == 1
        )

    def test_deferred_one_that_failed_is_finished(self) -> None:
        later: list[Any] = []

        @message_pattern(TOPIC)
        def on_pay(payload: Any, context: KafkaContext) -> None:
            later.append(context.defer())

        server = ServerInFakeTime(on_pay, auto_commit=False)
        server.feed(TOPIC, b"1", headers=REQUEST)
        server.run()
        later[0].failed(ValueError("no"))

        assert server.position(TOPIC) == 1


class TestEvents:
    def test_one_that_a_filter_ended_is_finished(self) -> None:
        handler = use_filters(Ends())(events(ValueError))

        assert position_after(handler, values=(b"{}",)) == 1
        assert position_after(handler, values=(b"{}",), middleware=[Swallows()]) == 1

    @pytest.mark.parametrize("middleware", [Skips(), Swallows()])
    def test_one_that_middleware_ended_is_finished(self, middleware: Middleware) -> None:
        assert position_after(events(ValueError), values=(b"{}",), middleware=[middleware]) == 1

    def test_skipped_poison_is_finished(self) -> None:
        assert position_after(events(), on_poison="skip") == 1

    def test_one_whose_tries_are_used_up_is_finished(self) -> None:
        assert position_after(events(ValueError, retry=Retry(max_attempts=2)), values=(b"{}",)) == 1

    def test_dead_letter_is_finished(self) -> None:
        assert position_after(events(dead_letter=DeadLetter())) == 1


class TestBatches:
    def batches(self, error: BaseException | None = None) -> Callable[..., Any]:
        @event_pattern(TOPIC, batch=Batch(max_size=2, max_wait=0), retry=Retry(max_attempts=2))
        def on_paid(events: list[dict[str, int]]) -> None:
            if error is not None:
                raise error

        return on_paid

    def test_one_that_a_filter_ended_is_finished(self) -> None:
        handler = use_filters(Ends())(self.batches(ValueError()))

        assert position_after(handler, values=(b"{}", b"{}")) == 2

    def test_unreadable_item_that_a_filter_ended_is_finished(self) -> None:
        handler = use_filters(Ends())(self.batches())

        assert position_after(handler, values=(b"1", b"2")) == 2

    def test_one_that_middleware_ended_is_finished(self) -> None:
        handler = self.batches()

        assert position_after(handler, values=(b"{}", b"{}"), middleware=[Skips()]) == 2

    def test_items_before_the_failed_one_are_finished(self) -> None:
        handler = self.batches(BatchItemFailed(1))

        assert position_after(handler, values=(b"{}", b"{}", b"{}")) >= 1

    def test_body_of_a_generator_runs(self) -> None:
        seen: list[Any] = []

        @event_pattern(TOPIC, batch=Batch(max_size=2, max_wait=0))
        def on_paid(events: list[Any]) -> Iterator[None]:
            seen.extend(events)
            yield

        position_after(on_paid, values=(b"1", b"2"))

        assert seen == ["1", "2"]


def test_duplicate_of_an_idempotent_handler_is_finished() -> None:
    calls = []

    @event_pattern(TOPIC)
    @idempotent(store=MemoryStore(), key=lambda event, context: event)
    def on_paid(event: str, context: KafkaContext) -> None:
        calls.append(event)
        context.commit()

    assert position_after(on_paid, values=(b"a", b"a", b"a")) == 3
    assert calls == ["a"]
