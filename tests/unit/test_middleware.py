"""Middleware: in which order hooks run, what their errors lead to, and the built-in ones."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_patterns import (
    ConfigurationError,
    CurrentMessageMiddleware,
    LoggingMiddleware,
    Middleware,
    Timing,
    TimingMiddleware,
    current_context,
    current_message,
)
from kafka_patterns.middleware.chain import MiddlewareChain


def context(**fields: Any) -> Any:
    message = SimpleNamespace(topic="hero", partition=1, offset=7, value="secret", key="secret")
    known = {
        "topic": "hero",
        "partition": 1,
        "message": message,
        "messages": (message,),
        "pattern": "hero",
        "handler": "handle",
        "correlation_id": "id-1",
        "attempt": 2,
    }
    return SimpleNamespace(**{**known, **fields})


class Journal:
    """Notes each hook under its own name."""

    def __init__(self, name: str, notes: list[Any]) -> None:
        self.name = name
        self.notes = notes

    def before(self, context):
        self.notes.append(f"before {self.name}")

    def around(self, context, call):
        self.notes.append(f"in {self.name}")
        result = call()
        self.notes.append(f"out {self.name}")
        return result

    def after(self, context, result=None, exception=None):
        self.notes.append((f"after {self.name}", result, exception))


class Clock:
    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def __call__(self) -> float:
        return self.times.pop(0)


def fail():
    raise ValueError("secret")


def test_the_first_one_added_is_the_outermost():
    notes: list[Any] = []
    chain = MiddlewareChain([Journal("a", notes)]).with_more([Journal("b", notes)])

    def handler():
        notes.append("handler")
        return 5

    assert chain.run(context(), handler) == 5
    assert notes == [
        *("before a", "in a", "before b", "in b", "handler", "out b"),
        *(("after b", 5, None), "out a", ("after a", 5, None)),
    ]


def test_after_learns_of_the_exception():
    notes: list[Any] = []

    with pytest.raises(ValueError, match="secret") as caught:
        MiddlewareChain([Journal("a", notes)]).run(context(), fail)

    assert notes == ["before a", "in a", ("after a", None, caught.value)]


def test_around_may_replace_the_result_and_leave_the_handler_out():
    class Cached:
        def around(self, context, call):
            return "cached"

    assert MiddlewareChain([Cached()]).run(context(), fail) == "cached"


def test_error_of_before_keeps_the_rest_from_running():
    notes: list[Any] = []

    class Refuses:
        def before(self, context):
            raise PermissionError("no")

        def after(self, context, result=None, exception=None):
            notes.append("never")

    chain = MiddlewareChain([Journal("a", notes), Refuses(), Journal("b", notes)])
    with pytest.raises(PermissionError) as caught:
        chain.run(context(), lambda: notes.append("never"))

    assert notes == ["before a", "in a", ("after a", None, caught.value)]


def test_error_of_after_is_logged_and_changes_nothing(caplog):
    class Breaks:
        def after(self, context, result=None, exception=None):
            raise OSError("the disk is full")

    assert MiddlewareChain([Breaks()]).run(context(), lambda: 5) == 5
    assert "middleware Breaks failed after hero[1] offset 7" in caplog.text
    assert "the disk is full" in caplog.text


def test_what_is_no_middleware_is_refused():
    with pytest.raises(ConfigurationError, match="middleware object has no hook"):
        MiddlewareChain([object()])
    with pytest.raises(ConfigurationError, match="Journal is a class: pass an instance"):
        MiddlewareChain([Journal])
    with pytest.raises(ConfigurationError, match="middleware Middleware has no hook"):
        MiddlewareChain([Middleware()])


def test_the_current_message_is_known_inside_only():
    chain = MiddlewareChain([CurrentMessageMiddleware()])
    this = context()

    assert chain.run(this, lambda: (current_context(), current_message())) == (this, this.message)
    with pytest.raises(ValueError, match="secret"):
        chain.run(this, fail)
    assert (current_context(), current_message()) == (None, None)


def test_current_messages_may_be_nested():
    chain = MiddlewareChain([CurrentMessageMiddleware()])
    outer, inner = context(), context()

    def handler():
        chain.run(inner, lambda: None)
        return current_context()

    assert chain.run(outer, handler) is outer


def test_timings_are_kept_by_pattern():
    timing = TimingMiddleware(clock=Clock(0, 2, 10, 11, 20, 23))
    chain = MiddlewareChain([timing])

    chain.run(context(), lambda: None)
    with pytest.raises(ValueError, match="secret"):
        chain.run(context(), fail)
    chain.run(context(pattern="other"), lambda: None)

    snapshot = timing.snapshot()
    assert snapshot["hero"] == Timing(count=2, failed=1, total=3, shortest=1, longest=2)
    assert snapshot["hero"].mean == 1.5
    assert snapshot["other"].count == 1


def test_log_lines_have_fields_and_no_payload(caplog):
    caplog.set_level(logging.INFO)
    logging_middleware = LoggingMiddleware(clock=Clock(0, 0.0015, 10, 10.5))
    chain = MiddlewareChain([logging_middleware])

    chain.run(context(), lambda: "secret")
    with pytest.raises(ValueError, match="secret"):
        chain.run(context(), fail)

    handled, failed = caplog.records
    fields = ["topic", "partition", "offset", "messages", "pattern", "handler"]
    fields += ["correlation_id", "attempt", "duration_ms", "exception_type"]
    assert [getattr(handled, name) for name in fields] == [
        *("hero", 1, 7, 1, "hero", "handle"),
        *("id-1", 2, 1.5, None),
    ]
    assert (failed.exception_type, failed.levelno) == ("ValueError", logging.WARNING)
    assert "secret" not in caplog.text
    assert handled.getMessage() == (
        "hero[1] offset 7 handled by handle in 1.5 ms, attempt 2, correlation id id-1"
    )


@pytest.mark.parametrize(
    ("correlation_id", "shown"),
    [
        ("id\n2026-01-01 ERROR forged", "id\\n2026-01-01 ERROR forged"),
        ("id\u2028\x1b[31m", "id\\u2028\\x1b[31m"),
        (b"\x00\x01", "0001"),
        (None, None),
    ],
)
def test_no_peer_can_forge_a_line_of_the_log(caplog, correlation_id, shown):
    caplog.set_level(logging.INFO)

    MiddlewareChain([LoggingMiddleware()]).run(context(correlation_id=correlation_id), lambda: None)

    (record,) = caplog.records
    assert record.correlation_id == shown
    assert len(record.getMessage().splitlines()) == 1
