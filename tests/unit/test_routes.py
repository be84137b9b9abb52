"""Which handlers a topic has, and which cannot stand together."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from kafka_patterns import RetryTopics, ServerKafka
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.server.handlers import Handler, make_handler
from kafka_patterns.server.marks import HandlerKind, HandlerMark
from kafka_patterns.server.routes import Route, Routes

MESSAGE, EVENT = HandlerKind.MESSAGE, HandlerKind.EVENT


def handler(kind: HandlerKind, pattern: str = "hero", ordering: Any = None) -> Handler:
    def handle(message: Any) -> None: ...

    return make_handler(HandlerMark(pattern, kind, ordering), handle)


class TestRoutes:
    def test_several_event_handlers_share_a_pattern(self) -> None:
        routes, first, second = Routes(), handler(EVENT), handler(EVENT)

        routes.add(first)
        routes.add(second)

        route = routes.get("hero")
        assert route is not None
        assert route.events == [first, second]
        assert route.message is None

    @pytest.mark.parametrize("kind", [MESSAGE, EVENT])
    def test_handler_that_is_registered_again_is_there_once(self, kind: HandlerKind) -> None:
        class Controller:
            def handle(self, event: Any) -> None: ...

        one, other = Controller(), Controller()
        mark = HandlerMark("hero", kind)
        routes = Routes()
        for _ in range(2):
            routes.add(make_handler(mark, one.handle, one))
            if kind is EVENT:
                routes.add(make_handler(mark, other.handle, other))

        route = routes.get("hero")
        assert route is not None
        assert len(route.handlers) == (2 if kind is EVENT else 1)

    @pytest.mark.parametrize(
        ("first", "second"), [(MESSAGE, MESSAGE), (MESSAGE, EVENT), (EVENT, MESSAGE)]
    )
    def test_handlers_that_cannot_stand_together_are_refused(
        self, first: HandlerKind, second: HandlerKind
    ) -> None:
        routes = Routes()
        kept = handler(first)
        routes.add(kept)

        with pytest.raises(
            ConfigurationError,
            match=rf"'hero' has two handlers.*{first.value} handler .*{second.value} handler",
        ):
            routes.add(handler(second))

        route = routes.get("hero")
        assert route is not None
        assert [route.message, *route.events].count(kept) == 1

    def test_topics_are_sorted_and_unknown_ones_have_no_route(self) -> None:
        routes = Routes()
        routes.add(handler(EVENT, "b"))
        routes.add(handler(MESSAGE, "a"))

        assert list(routes.topics) == ["a", "b"]
        assert routes.get("c") is None

    @pytest.mark.parametrize(
        ("kind", "default", "declared", "expected"),
        [
            (EVENT, None, [None], "partition"),
            (MESSAGE, None, [None], "key"),
            (EVENT, "unordered", [None], "unordered"),
            (MESSAGE, "partition", [None], "partition"),
            (MESSAGE, "partition", ["unordered"], "unordered"),
            (EVENT, None, ["key", "unordered"], "key"),
            (EVENT, None, ["key", None], "partition"),
            (EVENT, "unordered", ["key", None], "key"),
            (EVENT, None, ["unordered", "partition"], "partition"),
        ],
    )
    def test_strictest_order_wins(
        self, kind: HandlerKind, default: Any, declared: list[Any], expected: str
    ) -> None:
        route = Route("hero")
        for ordering in declared:
            if kind is MESSAGE:
                route.message = handler(kind, ordering=ordering)
            else:
                route.events.append(handler(kind, ordering=ordering))

        assert route.ordering(default) == expected


class TestServer:
    def test_decorators_of_the_server_register(self) -> None:
        server = ServerKafka()

        @server.message_pattern("a")
        def first(message: Any) -> None: ...

        @server.event_pattern(["b", "c"])
        def second(message: Any) -> None: ...

        assert list(server._routes.topics) == ["a", "b", "c"]

    def test_same_function_registers_only_its_new_marks(self) -> None:
        server = ServerKafka()

        @server.event_pattern("b")
        @server.event_pattern("a")
        def handle(message: Any) -> None: ...

        for topic in ("a", "b"):
            route = server._routes.get(topic)
            assert route is not None
            assert len(route.events) == 1

    def test_partial_can_be_registered(self) -> None:
        server = ServerKafka()

        def handle(service: str, message: Any) -> str:
            return service

        server.message_pattern("hero")(functools.partial(handle, "service"))

        assert list(server._routes.topics) == ["hero"]

    def test_second_message_handler_is_refused_where_it_is_registered(self) -> None:
        server = ServerKafka()
        server.message_pattern("hero")(lambda message: 1)

        with pytest.raises(ConfigurationError, match="two handlers that cannot stand together"):
            server.message_pattern("hero")(lambda message: 2)

    def test_handler_with_a_signature_that_fits_nothing_is_refused(self) -> None:
        server = ServerKafka()

        with pytest.raises(ConfigurationError, match="cannot be filled"):
            server.event_pattern("hero")(lambda message, hero: None)

        assert list(server._routes.topics) == []


def test_retry_topics_that_nobody_reads_any_more_are_known() -> None:
    routes = Routes()
    fewer = HandlerMark("orders", EVENT, retry=RetryTopics(delays=(1, 2)))
    routes.add(make_handler(fewer, lambda event: None))
    routes.add(handler(EVENT, "plain"))
    routes.add(handler(MESSAGE, "asked"))
    routes.open_retry_topics("shop")
    existing = [f"{topic}-shop-retry-{n}" for topic in ("orders", "plain") for n in (1, 2, 3)]
    others = ["asked-shop-retry-1", "orders-other-retry-3", "orders-shop-retry-x", "orders"]

    assert routes.left_behind("shop", [*existing, *others]) == [
        *("orders-shop-retry-3", "plain-shop-retry-1", "plain-shop-retry-2"),
        "plain-shop-retry-3",
    ]
