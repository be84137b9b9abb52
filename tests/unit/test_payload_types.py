"""What payloads are annotated with: checked beforehand, made by converters or by deserializers."""

from __future__ import annotations

import json
import types
from collections import deque
from typing import Annotated, Any, NamedTuple, NewType

import attrs
import cattrs
import pytest

from kafka_patterns import (
    Batch,
    ClientKafkaProxy,
    ConfigurationError,
    JsonDeserializer,
    Message,
    PayloadError,
    ServerKafka,
    event_pattern,
    message_pattern,
)
from kafka_patterns.headers import CORRELATION_ID, REPLY_TOPIC
from kafka_patterns.message import HeaderPairs, Record
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.serialization.typed import make_converter
from tests.unit.server_in_fake_time import ServerInFakeTime

TOPIC = "hero.paid"
REQUEST: HeaderPairs = [(CORRELATION_ID, b"1"), (REPLY_TOPIC, b"hero.paid.reply")]


class Money:
    """Nothing that JSON can be read as."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.amount == self.amount

    def __hash__(self) -> int:
        return self.amount

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.amount})"


class Gold(Money):
    """Money too."""


@attrs.frozen
class Order:
    price: Money


@attrs.frozen
class Item:
    name: str


@attrs.frozen
class Crate:
    weight: int


class Pair(NamedTuple):
    left: Item
    right: Item


OwnMoney = NewType("OwnMoney", Money)

UNREADABLE: list[Any] = [
    Money,
    Order,
    list[Money],
    dict[str, Money],
    tuple[int, Money],
    Money | None,
    Item | Money,
    Annotated[Money, "note"],
    OwnMoney,
    list[Order],
    complex,
]

every_unreadable = pytest.mark.parametrize("annotation", UNREADABLE, ids=str)


def annotated(annotation: Any) -> Any:
    def handle(payload: Any) -> None: ...

    handle.__annotations__ = {"payload": annotation, "return": None}
    return handle


def money_converter(converter: cattrs.Converter | None = None) -> cattrs.Converter:
    converter = converter or make_converter()
    converter.register_structure_hook(Money, lambda value, _: Money(value["amount"]))
    converter.register_unstructure_hook(Money, lambda money: {"amount": money.amount})
    return converter


class Makes:
    """A deserializer that makes the same object of everything."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def deserialize(self, record: Record) -> Any:
        return self.made


class TestRegistration:
    @every_unreadable
    def test_annotation_that_nothing_can_read_is_refused(self, annotation: Any) -> None:
        handler = annotated(annotation)

        with pytest.raises(ConfigurationError, match=r"handler .*handle: no payload can be read"):
            ServerKafka({}).event_pattern(TOPIC)(handler)
        with pytest.raises(ConfigurationError, match="no payload can be read"):
            ServerKafka({}).message_pattern(TOPIC)(handler)

    @every_unreadable
    def test_it_is_refused_in_batches_controllers_and_modules(self, annotation: Any) -> None:
        with pytest.raises(ConfigurationError, match="no payload can be read"):
            ServerKafka({}).event_pattern(TOPIC, batch=Batch())(annotated(list[annotation]))

        marked = event_pattern(TOPIC)(annotated(annotation))
        controller = type("Controller", (), {"handle": staticmethod(marked)})()
        with pytest.raises(ConfigurationError, match="no payload can be read"):
            ServerKafka({}).add_controller(controller)

        module = types.ModuleType(marked.__module__)
        module.__dict__["handle"] = marked
        with pytest.raises(ConfigurationError, match="no payload can be read"):
            ServerKafka({}).include(module)

    @every_unreadable
    def test_subclass_of_the_default_deserializer_reads_no_objects(self, annotation: Any) -> None:
        class Own(JsonDeserializer):
            """Reads JSON in some other way."""

        with pytest.raises(ConfigurationError, match="no payload can be read"):
            ServerKafka({"deserializer": Own()}).event_pattern(TOPIC)(annotated(annotation))

    @pytest.mark.parametrize("annotation", [Money, Order, list[Money], Money | None], ids=str)
    def test_converter_with_a_hook_for_it_is_enough(self, annotation: Any) -> None:
        converter = money_converter()

        ServerKafka({"converter": converter}).event_pattern(TOPIC)(annotated(annotation))
        ServerKafka({}).event_pattern(TOPIC, converter=converter)(annotated(annotation))
        ServerKafka({}).message_pattern(TOPIC, converter=converter)(annotated(annotation))

    @pytest.mark.parametrize("annotation", [a for a in UNREADABLE if a is not complex], ids=str)
    def test_deserializer_that_makes_objects_is_enough(self, annotation: Any) -> None:
        deserializer = Makes(None)

        ServerKafka({"deserializer": deserializer}).event_pattern(TOPIC)(annotated(annotation))
        ServerKafka({}).event_pattern(TOPIC, deserializer=deserializer)(annotated(annotation))

    @pytest.mark.parametrize("wrong", [object(), cattrs.Converter, "json"])
    def test_what_is_no_converter_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="converter"):
            ServerKafka({"converter": wrong})
        with pytest.raises(ConfigurationError, match="converter"):
            event_pattern(TOPIC, converter=wrong)
        with pytest.raises(ConfigurationError, match="converter"):
            ClientKafkaProxy({}).use_serializers(TOPIC, converter=wrong)


class TestReturns:
    @every_unreadable
    def test_it_is_refused_before_anything_is_sent(self, annotation: Any) -> None:
        # No broker is there: whatever wanted one would say so.
        client = ClientKafkaProxy(
            {"client": {"brokers": "localhost:1"}, "reply": {"mode": "direct"}}
        )

        for ask in (client.send, client.send_future, client.stream):
            with pytest.raises(ConfigurationError, match="no payload can be read"):
                ask(TOPIC, 1, returns=annotation)
        with pytest.raises(ConfigurationError, match="no payload can be read"):
            client.gather(TOPIC, 1, expected=1, returns=annotation)


def taken(annotation: Any, made: Any, converter: cattrs.Converter | None = None) -> Any:
    """What a handler would be given of what a deserializer made."""
    reader = Serialization(None, Makes(made), converter).reader(annotation, pattern=TOPIC)
    return reader(b"raw", made)


class TestObjects:
    @pytest.mark.parametrize("converter", [None, cattrs.Converter()], ids=["none", "plain"])
    @pytest.mark.parametrize(
        ("annotation", "made"),
        [
            (Money, Money(1)),
            (Money, Gold(1)),
            (OwnMoney, Money(1)),
            (Annotated[Money, "note"], Money(1)),
            (Item, Item("sword")),
        ],
        ids=str,
    )
    def test_instance_of_the_annotated_class_is_taken_as_it_is(
        self, annotation: Any, made: Any, converter: cattrs.Converter | None
    ) -> None:
        assert taken(annotation, made, converter) is made

    @pytest.mark.parametrize(
        ("annotation", "made"),
        [
            (list[Money], [Money(1), Gold(2)]),
            (dict[str, Money], {"a": Money(1)}),
            (Money | None, Money(1)),
            (Money | None, None),
            (Item | Crate, Crate(1)),
            (Item | Money, Money(1)),
            (list[Item], [Item("sword")]),
            (Item | None, Item("sword")),
            (Pair, Pair(Item("a"), Item("b"))),
            (set[int], {1, 2}),
            (frozenset[Item], frozenset({Item("a")})),
            (deque[int], deque([1])),
        ],
        ids=str,
    )
    def test_instances_inside_are_taken_as_they_are(self, annotation: Any, made: Any) -> None:
        assert taken(annotation, made) == made

    def test_instances_stand_beside_plain_data(self) -> None:
        assert taken(Order, {"price": Money(1)}) == Order(Money(1))
        assert taken(list[Item], [Item("a"), {"name": "b"}]) == [Item("a"), Item("b")]

    @pytest.mark.parametrize(
        ("annotation", "made"),
        [
            (Money, {"amount": 1}),
            (Money, Item("sword")),
            (list[Money], [Money(1), 2]),
            (Item, Crate(1)),
            (int, True),
            (list[int], {1, 2}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("converter", [None, make_converter()], ids=["none", "made"])
    def test_what_is_something_else_does_not_fit(
        self, annotation: Any, made: Any, converter: cattrs.Converter | None
    ) -> None:
        with pytest.raises((PayloadError, ConfigurationError)):
            taken(annotation, made, converter)

    @pytest.mark.parametrize("converter", [None, make_converter()])
    def test_event_with_something_else_goes_the_way_of_poison(
        self, converter: cattrs.Converter | None
    ) -> None:
        @event_pattern(TOPIC, deserializer=Makes(1), converter=converter)
        def on_paid(money: Money) -> None: ...

        server = ServerInFakeTime(
            on_paid, on_poison="skip", serialization=Serialization(None, Makes(1))
        )
        server.feed(TOPIC, b"1")
        server.run(until=100)

        assert server.counters.snapshot()["poison_skipped"] == 1


def test_each_of_several_handlers_reads_with_its_own() -> None:
    seen: list[Any] = []
    doubled = make_converter()
    doubled.register_structure_hook(Money, lambda value, _: Money(2 * value["amount"]))
    server = ServerKafka({"converter": money_converter()})

    @server.event_pattern(TOPIC)
    def plain(payload: Any) -> None:
        seen.append(payload)

    @server.event_pattern(TOPIC, deserializer=Makes(Money(7)))
    def made(money: Money) -> None:
        seen.append(money)

    @server.event_pattern(TOPIC, converter=doubled)
    def converted(money: Money) -> None:
        seen.append(money)

    @server.event_pattern(TOPIC)
    def common(money: Money) -> None:
        seen.append(money)

    running = ServerInFakeTime(serialization=server._serialization, routes=server._routes)
    running.feed(TOPIC, b'{"amount":1}')
    running.run(until=1)

    assert seen == [{"amount": 1}, Money(7), Money(2), Money(1)]


class TestConverters:
    def test_handler_is_given_what_the_converter_makes(self) -> None:
        seen = []

        @message_pattern(TOPIC, converter=money_converter())
        def on_pay(money: Money) -> Money:
            seen.append(money)
            return Money(money.amount + 1)

        serialization = Serialization(None, None)
        serialization.use(TOPIC, converter=money_converter())
        server = ServerInFakeTime(on_pay, serialization=serialization)
        server.feed(TOPIC, b'{"amount":1}', headers=REQUEST)
        server.run(until=100)

        assert seen == [Money(1)]
        assert [message.value for _, message in server.producer.sent] == [b'{"amount":2}']

    def test_converter_of_a_pattern_goes_before_the_common_one(self) -> None:
        doubled = make_converter()
        doubled.register_structure_hook(Money, lambda value, _: Money(2 * value["amount"]))
        serialization = Serialization(None, None, money_converter())
        serialization.use("doubled", converter=doubled)

        def read(pattern: str) -> Any:
            return serialization.reader(Money, pattern=pattern)(b"", {"amount": 1})

        assert read("doubled") == Money(2)
        assert read("other") == Money(1)

    def test_serializer_that_was_given_writes_alone(self) -> None:
        class Upper:
            def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
                return Message(value=json.dumps(payload).upper().encode(), headers=[])

        common = Serialization(Upper(), None, money_converter())
        common.use(TOPIC, converter=money_converter())
        own = Serialization(None, None)
        own.use(TOPIC, Upper(), converter=money_converter())

        for serialization in (common, own):
            written = serialization.encode(["a"], topic=TOPIC, pattern=TOPIC)
            assert written.value == b'["A"]'

    def test_reply_is_read_by_the_converter_of_its_pattern(self) -> None:
        client = ClientKafkaProxy({})
        client.use_serializers(TOPIC, converter=money_converter())

        reader = client._serialization.reader(Money, pattern=TOPIC)

        assert reader(b"", {"amount": 3}) == Money(3)
