"""What a failure tells the caller, how long to wait, and how often it happened before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.errors import (
    KafkaRetriableException,
    PayloadError,
    RequestTimeout,
    RpcException,
)
from kafka_patterns.failures.attempts import attempts_before, attempts_in_other_topics
from kafka_patterns.failures.rpc_error import error_object, is_expected
from kafka_patterns.message import Record
from kafka_patterns.serialization.error_header import encode_error

INTERNAL = {"status": "error", "message": "Internal server error"}


class TestErrorObject:
    @pytest.mark.parametrize(
        ("error", "header"),
        [
            ("boom", b'{"status":"error","message":"boom"}'),
            ({"code": 4, "message": "m"}, b'{"code":4,"message":"m"}'),
            ([1, 2], b"[1,2]"),
            ({}, b"{}"),
            (5, b'{"status":"error","message":5}'),
            ("", b'{"status":"error","message":""}'),
            (None, b'{"status":"error"}'),
            (True, b'{"status":"error","message":true}'),
            (0, b'{"status":"error","message":0}'),
        ],
    )
    def test_rpc_exception_travels_as_from_nestjs(self, error: Any, header: bytes) -> None:
        assert encode_error(error_object(RpcException(error))) == header

    def test_rpc_exception_around_another_tells_its_text(self) -> None:
        wrapped = error_object(RpcException(ValueError("inner")))

        assert wrapped == {"status": "error", "message": "inner"}

    def test_retriable_travels_as_from_nestjs(self) -> None:
        header = encode_error(error_object(KafkaRetriableException("again")))

        assert header == b'{"error":"again","message":"again"}'

    def test_payload_that_does_not_fit_is_told(self) -> None:
        assert error_object(PayloadError("the field 'a' is missing")) == {
            "status": "error",
            "message": "the field 'a' is missing",
        }

    @pytest.mark.parametrize(
        "error", [ValueError("secret"), KeyError("secret"), RequestTimeout("secret"), SystemExit(1)]
    )
    def test_any_other_error_stays_inside(self, error: BaseException) -> None:
        assert error_object(error) == INTERNAL

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (RpcException("x"), True),
            (KafkaRetriableException("x"), True),
            (PayloadError("x"), True),
            (ValueError("x"), False),
        ],
    )
    def test_expected_errors_need_no_traceback(self, error, expected) -> None:
        assert is_expected(error) == expected


class TestBackoff:
    @given(
        initial=st.floats(0.001, 10),
        growth=st.floats(1, 10),
        multiplier=st.floats(1, 10),
        failures=st.integers(1, 10**6),
    )
    def test_wait_stays_between_the_bounds(self, initial, growth, multiplier, failures) -> None:
        backoff = ExponentialBackoff(initial, initial * growth, multiplier, jitter=0.2)

        wait = backoff(failures)

        assert initial * 0.8 <= wait <= initial * growth * 1.2

    @given(failures=st.integers(1, 200))
    def test_waits_without_jitter_never_shrink(self, failures) -> None:
        backoff = ExponentialBackoff(0.3, 30, 2.0, jitter=0)

        assert backoff(failures) <= backoff(failures + 1) <= 30

    def test_waits_double_up_to_the_maximum(self) -> None:
        backoff = ExponentialBackoff(0.3, 2.0, jitter=0)

        waits = [backoff(failures) for failures in range(1, 6)]

        assert waits == pytest.approx([0.3, 0.6, 1.2, 2.0, 2.0])

    def test_jitter_spreads_the_waits(self) -> None:
        backoff = ExponentialBackoff(1.0, 30)

        assert len({backoff(1) for _ in range(20)}) > 1


class TestAttempts:
    @pytest.mark.parametrize(
        ("headers", "before"),
        [
            ({}, 0),
            ({"retryCount": "3"}, 3),
            ({"retry-count": b"4"}, 4),
            ({"retryCount": "1", "retry-count": "2"}, 1),
            ({"retryCount": "x", "retry-count": "2"}, 2),
            ({"retryCount": "1234567890"}, 0),
            ({"retryCount": "٣"}, 0),
            ({"retryCount": None}, 0),
            ({"retryCount": [3]}, 0),
        ],
    )
    def test_headers_tell_the_deliveries_before(self, headers: Any, before: int) -> None:
        assert attempts_before(headers) == before

    @pytest.mark.parametrize(
        ("topic", "attempts", "before"),
        [
            ("orders-shop-retry-1", [b"\0\0\0\2"], 1),
            ("orders-retry", [b"\0\0\0\2"], 1),
            ("orders-shop-retry-1", [b"\0\0\0\7", b"\0\0\0\2"], 1),
            ("orders-shop-retry-1", [b"\0\0\0\0"], 0),
            ("orders-shop-retry-1", [b"\xff\xff\xff\xff"], None),
            ("orders-shop-retry-1", [], None),
            ("orders", [b"\0\0\0\7"], None),
            ("orders-retry-queue", [b"\0\0\0\7"], None),
        ],
    )
    def test_only_retry_topics_tell_of_tries_in_other_topics(
        self, topic: str, attempts: list[bytes], before: int | None
    ) -> None:
        pairs: Any = [("retry_topic-attempts", raw) for raw in attempts]

        assert attempts_in_other_topics(Record(topic, 0, 0, 0, None, None, pairs)) == before
