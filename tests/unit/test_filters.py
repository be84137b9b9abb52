"""Exception filters: which one decides, and when retries end."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.errors import ConfigurationError, KafkaRetriableException, RpcException
from kafka_patterns.failures.attempts import attempts_before
from kafka_patterns.failures.filters import (
    KafkaMaxRetryExceptionFilter,
    check_filters,
    choose_filter,
    filters_of,
    use_filters,
)
from kafka_patterns.message import IncomingMessage


class Filter:
    def __init__(self, *exceptions: type[Exception]) -> None:
        if exceptions:
            self.exceptions = exceptions

    def catch(self, exception: Exception, context: Any) -> Any:
        return None


@attrs.frozen
class Context:
    message: IncomingMessage
    expects_reply: bool = False
    attempt: int = 1


def context(offset: int = 0, *, headers: dict[str, Any] | None = None, **more: Any) -> Context:
    message = IncomingMessage(
        topic="hero",
        partition=0,
        offset=offset,
        timestamp=0,
        size=0,
        key=None,
        value=None,
        headers=headers or {},
        raw_key=None,
        raw_value=None,
        raw_headers=[],
    )
    return Context(message, **more)


class TestUseFilters:
    def test_function_carries_its_filters(self) -> None:
        first, second = Filter(), Filter()

        @use_filters(first, second)
        def handle() -> None: ...

        assert filters_of(handle) == (first, second)

    def test_filters_of_the_upper_decorator_come_first(self) -> None:
        upper, lower = Filter(), Filter()

        @use_filters(upper)
        @use_filters(lower)
        def handle() -> None: ...

        assert filters_of(handle) == (upper, lower)

    def test_class_carries_its_filters_and_its_subclass_adds_some(self) -> None:
        of_base, of_child = Filter(), Filter()

        @use_filters(of_base)
        class Base: ...

        @use_filters(of_child)
        class Child(Base): ...

        assert filters_of(Base) == (of_base,)
        assert filters_of(Child) == (of_child, of_base)

    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_static_and_class_methods_carry_theirs_in_either_order(self, kind: Any) -> None:
        above, below = Filter(), Filter()

        class Controller:
            @use_filters(above)
            @kind  # type: ignore[untyped-decorator]
            @use_filters(below)
            def handle(*_: object) -> None: ...

        assert filters_of(Controller().handle) == (above, below)

    def test_override_has_no_filters_of_its_parent(self) -> None:
        class Base:
            @use_filters(Filter())
            def handle(self) -> None: ...

        class Child(Base):
            def handle(self) -> None: ...

        assert filters_of(Child().handle) == ()

    def test_nothing_is_no_filter(self) -> None:
        assert filters_of(print) == ()


class TestRefusals:
    def test_class_instead_of_an_instance_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"pass an instance, Filter\(\.\.\.\)"):
            use_filters(Filter)  # type: ignore[arg-type]

    @pytest.mark.parametrize("candidate", [None, object(), "text", lambda: None])
    def test_object_without_catch_is_refused(self, candidate: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"has no catch\(exception, context\)"):
            check_filters([candidate])


class TestChoice:
    def test_first_that_wants_the_type_decides(self) -> None:
        wrong, right, later = Filter(KeyError), Filter(LookupError), Filter()

        assert choose_filter([wrong, right, later], IndexError()) is right

    def test_filter_without_types_wants_all(self) -> None:
        everything = Filter()

        assert choose_filter([everything], ZeroDivisionError()) is everything

    def test_nobody_wants_it(self) -> None:
        assert choose_filter([Filter(KeyError)], ValueError()) is None


def deliveries(chosen: KafkaMaxRetryExceptionFilter, where: Context) -> int:
    """How often the message is delivered until the filter ends it."""
    failure = ValueError("again")
    before = attempts_before(where.message.headers)
    for delivery in range(1, 1000):
        try:
            chosen.catch(failure, attrs.evolve(where, attempt=before + delivery))
        except ValueError:
            continue
        return delivery
    raise AssertionError("the filter never ended it")


class TestMaxRetry:
    @given(retries=st.integers(0, 20))
    def test_allows_one_delivery_and_the_retries(self, retries) -> None:
        assert deliveries(KafkaMaxRetryExceptionFilter(retries), context()) == retries + 1

    @pytest.mark.parametrize("name", ["retryCount", "retry-count"])
    @pytest.mark.parametrize("value", ["2", b"2"])
    def test_retry_header_counts_as_deliveries_before(self, name: str, value: Any) -> None:
        where = context(headers={name: value})

        assert deliveries(KafkaMaxRetryExceptionFilter(5), where) == 4

    @pytest.mark.parametrize("value", ["", "-1", "two", "9" * 5000, "²", None, {"a": 1}, b"\xff"])
    def test_junk_in_the_retry_header_counts_nothing(self, value: Any) -> None:
        where = context(headers={"retryCount": value})

        assert deliveries(KafkaMaxRetryExceptionFilter(2), where) == 3

    def test_skip_handler_gets_the_message_once(self) -> None:
        skipped: list[IncomingMessage] = []
        where = context(7)

        deliveries(KafkaMaxRetryExceptionFilter(3, skipped.append), where)

        assert skipped == [where.message]

    def test_failing_skip_handler_is_logged_and_the_message_ends(self, caplog) -> None:
        def skip(_: IncomingMessage) -> None:
            raise RuntimeError("no place for it")

        assert deliveries(KafkaMaxRetryExceptionFilter(0, skip), context(7)) == 1

        assert "the skip handler failed for hero[0] offset 7" in caplog.text
        assert "no place for it" in caplog.text

    def test_message_delivered_again_after_its_end_begins_anew(self) -> None:
        chosen = KafkaMaxRetryExceptionFilter(2)

        assert [deliveries(chosen, context()) for _ in range(3)] == [3, 3, 3]

    def test_failed_request_is_answered_at_once(self) -> None:
        error = RpcException("no")
        chosen = KafkaMaxRetryExceptionFilter(5)

        with pytest.raises(RpcException) as caught:
            chosen.catch(error, context(expects_reply=True))

        assert caught.value is error

    def test_caller_gets_the_error_when_retriable_tries_end(self) -> None:
        error = KafkaRetriableException("busy")
        skipped: list[IncomingMessage] = []
        chosen = KafkaMaxRetryExceptionFilter(1, skipped.append)
        where = context(expects_reply=True)

        with pytest.raises(KafkaRetriableException):
            chosen.catch(error, where)
        with pytest.raises(RpcException, match="busy"):
            chosen.catch(error, attrs.evolve(where, attempt=2))

        assert skipped == [where.message]

    @pytest.mark.parametrize("retries", [-1, 1.5, "3", None, True])
    def test_number_that_is_none_is_refused(self, retries: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_retries must be an int from 0"):
            KafkaMaxRetryExceptionFilter(retries)
