"""The serializers and deserializers of one client or server, by pattern."""

from __future__ import annotations

from typing import Any

from cattrs import Converter

from kafka_patterns.errors import ConfigurationError, PayloadError
from kafka_patterns.message import EncodedMessage, Record
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.serialization.envelope import encode_message
from kafka_patterns.serialization.json import JsonDeserializer, JsonSerializer
from kafka_patterns.serialization.typed import (
    BodyReader,
    as_parsed,
    body_reader,
    check_annotation,
)
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = ["Serialization", "check_converter", "check_deserializer", "check_serializer"]


class Serialization:
    """Which serializer and deserializer a pattern uses: its own, or else the common ones."""

    def __init__(
        self,
        serializer: Serializer | None,
        deserializer: Deserializer | None,
        converter: Converter | None = None,
    ) -> None:
        self._converter = converter
        self._writes_json = serializer is None
        self._serializer: Serializer = serializer or _json_serializer(converter)
        self._deserializer: Deserializer = deserializer or JsonDeserializer()
        self._serializers: dict[str, Serializer] = {}
        self._deserializers: dict[str, Deserializer] = {}
        self._converters: dict[str, Converter] = {}

    def use(
        self,
        pattern: str,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        converter: Converter | None = None,
    ) -> None:
        """Give *pattern* a serializer, a deserializer or a converter of its own.

        :param converter: makes objects of what the deserializer read; where no serializer was
            given it also makes plain data of objects that are to be written.
        :raises ConfigurationError: if an object lacks the method, or it is asynchronous.
        """
        if serializer is not None:
            check_serializer(serializer)
            self._serializers[pattern] = serializer
        if deserializer is not None:
            check_deserializer(deserializer)
            self._deserializers[pattern] = deserializer
        if converter is not None:
            check_converter(converter)
            self._converters[pattern] = converter
            if self._writes_json and serializer is None:
                self._serializers.setdefault(pattern, _json_serializer(converter))

    def encode(self, payload: Any, *, topic: str, pattern: str) -> EncodedMessage:
        """Write *payload*.

        :raises PayloadError: if the serializer fails, whatever it raises.
        """
        serializer = self._serializers.get(pattern, self._serializer)
        try:
            message = refuse_awaitable(
                serializer.serialize(payload, topic=topic, pattern=pattern), "serialize()"
            )
        except PayloadError:
            raise
        except Exception as error:
            raise PayloadError(
                f"the serializer failed on a payload for topic {topic!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return encode_message(message, serializer=serializer, topic=topic)

    def decode(
        self, record: Record, *, pattern: str, deserializer: Deserializer | None = None
    ) -> Any:
        """Read the payload of *record*.

        :param deserializer: in place of that of *pattern*: one of several handlers may have its
            own.
        :raises PayloadError: if the deserializer fails, whatever it raises, or if the record could
            not be read at all.
        """
        if record.unreadable is not None:
            raise PayloadError(
                f"topic {record.topic!r}, partition {record.partition}, offset {record.offset} "
                f"cannot be read: {record.unreadable.reason}"
            )
        deserializer = deserializer or self._deserializers.get(pattern, self._deserializer)
        try:
            return refuse_awaitable(deserializer.deserialize(record), "deserialize()")
        except PayloadError:
            raise
        except Exception as error:
            raise PayloadError(
                f"the deserializer failed on topic {record.topic!r}, partition "
                f"{record.partition}, offset {record.offset}: {type(error).__name__}: {error}"
            ) from error

    def reader(
        self,
        annotation: Any,
        *,
        pattern: str,
        deserializer: Deserializer | None = None,
        converter: Converter | None = None,
    ) -> BodyReader:
        """Return what makes *annotation* of the payloads of *pattern*.

        :param deserializer: the one that will read them, in place of that of *pattern*.
        :param converter: likewise.
        :raises ConfigurationError: if nothing can be read as *annotation*.
        """
        if annotation is None:
            return as_parsed
        converter = converter or self._converters.get(pattern, self._converter)
        chosen = deserializer or self._deserializers.get(pattern, self._deserializer)
        gives_objects = not isinstance(chosen, JsonDeserializer)
        check_annotation(annotation, converter=converter, gives_objects=gives_objects)
        return body_reader(annotation, converter=converter, gives_objects=gives_objects)


def _json_serializer(converter: Converter | None) -> JsonSerializer:
    return JsonSerializer(None if converter is None else converter.unstructure)


def check_serializer(serializer: Any) -> None:
    """Refuse what is no serializer.

    :raises ConfigurationError: if it has no ``serialize()``, or that is asynchronous.
    """
    if not isinstance(serializer, Serializer):
        raise ConfigurationError(f"{serializer!r} has no serialize() method")
    refuse_async(serializer.serialize, "serializer")


def check_deserializer(deserializer: Any) -> None:
    """Refuse what is no deserializer.

    :raises ConfigurationError: if it has no ``deserialize()``, or that is asynchronous.
    """
    if not isinstance(deserializer, Deserializer):
        raise ConfigurationError(f"{deserializer!r} has no deserialize() method")
    refuse_async(deserializer.deserialize, "deserializer")


def check_converter(converter: Any) -> None:
    """Refuse what is no cattrs converter.

    :raises ConfigurationError: if it cannot be asked for hooks.
    """
    if isinstance(converter, type) or not hasattr(converter, "get_structure_hook"):
        raise ConfigurationError(
            f"converter {converter!r:.200} is no cattrs converter: make_converter() gives one"
        )
