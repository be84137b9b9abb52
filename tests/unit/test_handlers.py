"""Marked functions, methods and modules become handlers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from kafka_patterns import event_pattern, message_pattern, use_filters
from kafka_patterns.errors import ConfigurationError
from kafka_patterns.server.handlers import handlers_of_controller, handlers_of_module
from kafka_patterns.server.marks import HandlerKind, HandlerMark, marks_of

MESSAGE = HandlerKind.MESSAGE


def patterns(handlers: Any) -> list[str]:
    return [handler.mark.pattern for handler in handlers]


class TestMarks:
    def test_function_stays_as_it_is(self) -> None:
        def handle(message: Any) -> None: ...

        assert message_pattern("hero")(handle) is handle
        assert marks_of(handle) == [HandlerMark("hero", MESSAGE)]

    def test_several_patterns_make_several_marks(self) -> None:
        @event_pattern(["hero", "villain"])
        def handle(message: Any) -> None: ...

        assert [mark.pattern for mark in marks_of(handle)] == ["hero", "villain"]

    def test_decorators_add_up_from_the_inside_out(self) -> None:
        @event_pattern("outer")
        @event_pattern("inner")
        def handle(message: Any) -> None: ...

        assert [mark.pattern for mark in marks_of(handle)] == ["inner", "outer"]

    @pytest.mark.parametrize("decorator", [message_pattern, event_pattern])
    @pytest.mark.parametrize("pattern", [None, "", "a b", "x" * 250, {"cmd": "x"}, 1.5, [None]])
    def test_pattern_without_a_legal_topic_is_refused(self, decorator: Any, pattern: Any) -> None:
        with pytest.raises(ConfigurationError):
            decorator(pattern)

    @pytest.mark.parametrize("decorator", [message_pattern, event_pattern])
    def test_unknown_ordering_is_refused(self, decorator: Any) -> None:
        with pytest.raises(ConfigurationError, match="'topic' is not one of 'partition', 'key'"):
            decorator("hero", ordering="topic")

    def test_object_that_cannot_be_marked_is_refused(self) -> None:
        class Service:
            def kill(self, message: Any) -> None: ...

        for function in (Service().kill, print):
            with pytest.raises(ConfigurationError, match="cannot be marked"):
                message_pattern("hero")(function)


class TestControllers:
    def test_marked_methods_are_found_in_their_order(self) -> None:
        class Controller:
            @event_pattern("b")
            def second(self, message: Any) -> None: ...

            def helper(self) -> None: ...

            @message_pattern("a")
            def first(self, message: Any) -> Any:
                return self, message

        controller = Controller()

        found = list(handlers_of_controller(controller))

        assert patterns(found) == ["b", "a"]
        assert found[1].function("x") == (controller, "x")
        assert found[1].owner is controller
        assert found[1].name.endswith("Controller.first")

    def test_methods_of_the_parent_are_found(self) -> None:
        class Base:
            @message_pattern("hero")
            def handle(self, message: Any) -> str:
                return "base"

        class Child(Base): ...

        assert patterns(handlers_of_controller(Child())) == ["hero"]

    def test_override_takes_the_place_of_its_parent(self) -> None:
        class Base:
            @message_pattern("old")
            def handle(self, message: Any) -> str:
                return "base"

        class Child(Base):
            @message_pattern("new")
            def handle(self, message: Any) -> str:
                return "child"

        (found,) = handlers_of_controller(Child())

        assert found.mark.pattern == "new"
        assert found.function(None) == "child"
        assert patterns(handlers_of_controller(Base())) == ["old"]

    def test_override_without_a_mark_is_no_handler(self) -> None:
        class Base:
            @message_pattern("a")
            def handle(self, message: Any) -> None: ...

            @message_pattern("b")
            def other(self, message: Any) -> None: ...

        class Child(Base):
            def handle(self, message: Any) -> None: ...

        assert patterns(handlers_of_controller(Child())) == ["b"]

    @pytest.mark.parametrize("mark_first", [True, False])
    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_static_and_class_methods_are_found(self, kind, mark_first) -> None:
        def of_class(cls: type, message: Any) -> Any:
            return message

        def static(message: Any) -> Any:
            return message

        handle = of_class if kind is classmethod else static

        mark = message_pattern("hero")
        namespace = {"handle": kind(mark(handle)) if mark_first else mark(kind(handle))}
        controller = type("Controller", (), namespace)()

        (found,) = handlers_of_controller(controller)

        assert found.mark.pattern == "hero"

    def test_properties_are_not_touched(self) -> None:
        class Controller:
            @property
            def broken(self) -> None:
                raise AssertionError("a property must not be read")

            @message_pattern("hero")
            def handle(self, message: Any) -> None: ...

        assert patterns(handlers_of_controller(Controller())) == ["hero"]

    def test_filters_of_the_method_come_before_those_of_its_class(self) -> None:
        class Filter:
            def catch(self, exception: Exception, context: Any) -> None: ...

        of_class, of_method = Filter(), Filter()

        @use_filters(of_class)
        class Controller:
            @use_filters(of_method)
            @message_pattern("hero")
            def handle(self, message: Any) -> None: ...

        (found,) = handlers_of_controller(Controller())

        assert found.filters == (of_method, of_class)

    def test_class_instead_of_an_instance_is_refused(self) -> None:
        class Controller:
            @message_pattern("hero")
            def handle(self, message: Any) -> None: ...

        with pytest.raises(ConfigurationError, match=r"write add_controller\(Controller\(\)\)"):
            list(handlers_of_controller(Controller))

    def test_controller_without_marks_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="no method of object is marked"):
            list(handlers_of_controller(object()))


class TestModules:
    def module(self, **names: Any) -> ModuleType:
        module = ModuleType("heroes")
        for name, value in names.items():
            if getattr(value, "__module__", None) == __name__:
                value.__module__ = "heroes"
            setattr(module, name, value)
        return module

    def test_marked_functions_are_found_in_their_order(self) -> None:
        @event_pattern("b")
        def second(message: Any) -> None: ...

        @message_pattern("a")
        def first(message: Any) -> None: ...

        module = self.module(second=second, first=first, helper=lambda: None)

        assert patterns(handlers_of_module(module)) == ["b", "a"]

    def test_imported_functions_belong_to_their_own_module(self) -> None:
        @event_pattern("mine")
        def mine(message: Any) -> None: ...

        @event_pattern("elsewhere")
        def imported(message: Any) -> None: ...

        module = self.module(mine=mine)
        module.imported = imported  # type: ignore[attr-defined]

        assert patterns(handlers_of_module(module)) == ["mine"]

    def test_function_under_two_names_is_one_handler(self) -> None:
        @event_pattern("hero")
        def handle(message: Any) -> None: ...

        module = self.module(handle=handle, alias=handle)

        assert patterns(handlers_of_module(module)) == ["hero"]

    def test_module_without_marks_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="no function of module heroes is marked"):
            list(handlers_of_module(self.module()))
