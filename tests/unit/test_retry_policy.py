"""What the policy decides: pure values, over all failures."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns import (
    ConfigurationError,
    KafkaRetriableException,
    PayloadError,
    Retry,
    RpcException,
    exponential,
    fixed,
)
from kafka_patterns.failures.causes import Cause, is_wrong_call
from kafka_patterns.failures.policy import Failure, GiveUp, Reason, RetryAfter

failures = st.builds(
    Failure,
    error=st.sampled_from(
        [ValueError(), KeyError(), KafkaRetriableException(), RpcException("x"), PayloadError()]
    ),
    attempt=st.integers(1, 50),
    elapsed=st.floats(0, 1000),
    cause=st.sampled_from(Cause),
    expects_reply=st.booleans(),
    time_left=st.none() | st.floats(-100, 1000),
)
policies = st.builds(
    Retry,
    max_attempts=st.none() | st.integers(1, 20),
    backoff=st.builds(exponential, st.floats(0, 10), maximum=st.floats(0, 100)),
    on=st.sampled_from([(), (ValueError,), (LookupError, PayloadError)]),
    unless=st.sampled_from([(), (KeyError,)]),
    max_elapsed=st.none() | st.floats(0, 500),
)


@given(policy=policies, failure=failures)
def test_no_limit_is_ever_passed(policy: Retry, failure: Failure) -> None:
    decision = policy.decide(failure)

    if isinstance(decision, RetryAfter):
        assert decision.seconds >= 0
        assert policy.max_attempts is None or failure.attempt < policy.max_attempts
        if policy.max_elapsed is not None:
            assert failure.elapsed + decision.seconds <= policy.max_elapsed
        if failure.time_left is not None:
            assert decision.seconds < failure.time_left


@given(policy=policies, failure=failures)
def test_retriable_exception_ends_only_at_a_limit(policy: Retry, failure: Failure) -> None:
    decision = policy.decide(
        Failure(
            error=KafkaRetriableException(),
            attempt=failure.attempt,
            elapsed=failure.elapsed,
            time_left=failure.time_left,
        )
    )

    assert isinstance(decision, RetryAfter) or decision.reason in (
        Reason.ATTEMPTS,
        Reason.ELAPSED,
        Reason.DEADLINE,
    )


@given(failure=failures)
def test_hopeless_causes_are_tried_again_only_if_asked_for(failure: Failure) -> None:
    if failure.cause.is_hopeless and not isinstance(failure.error, KafkaRetriableException):
        assert Retry().decide(failure) == GiveUp(Reason.HOPELESS)


def test_unreadable_payload_is_tried_again_if_asked_for() -> None:
    failure = Failure(error=PayloadError("no"), attempt=1, cause=Cause.UNREADABLE)

    assert Retry(on=PayloadError, backoff=fixed(3)).decide(failure) == RetryAfter(3)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"max_attempts": "5"},
        {"max_elapsed": -1},
        {"backoff": 5},
        {"retry_if": "yes"},
        {"on": ("ValueError",)},
        {"unless": 5},
        {"unless": (int,)},
    ],
)
def test_policy_that_cannot_work_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Retry.*({next(iter(options))}|exception type)"):
        Retry(**options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fixed(-1),
        lambda: exponential(-1),
        lambda: exponential(1, maximum=float("nan")),
        lambda: exponential(1, multiplier=0.5),
        lambda: exponential(1, jitter=2),
    ],
)
def test_wait_that_is_none_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="backoff: "):
        make()


class Method:
    def handle(self, event: Any) -> None:
        raise TypeError("inside")

    def __call__(self, event: Any) -> None:
        raise TypeError("inside")


def plain(event: Any) -> None:
    raise TypeError("inside")


def calls_wrongly(event: Any) -> None:
    plain()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "function", [plain, Method().handle, Method(), functools.partial(plain), calls_wrongly]
)
def test_wrong_call_is_told_from_a_type_error_inside(function: Any) -> None:
    for arguments, is_wrong in (((1,), False), ((1, 2), True)):
        with pytest.raises(TypeError) as caught:
            function(*arguments)
        assert is_wrong_call(caught.value, function) == is_wrong


def test_other_exceptions_are_no_wrong_calls() -> None:
    assert not is_wrong_call(ValueError(), plain)
