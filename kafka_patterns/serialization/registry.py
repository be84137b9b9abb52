"""The serializers and deserializers of one client or server, by pattern."""

from __future__ import annotations

from typing import Any

from kafka_patterns.errors import ConfigurationError, PayloadError
from kafka_patterns.message import EncodedMessage, Record
from kafka_patterns.serialization.base import Deserializer, Serializer
from kafka_patterns.serialization.envelope import encode_message
from kafka_patterns.serialization.json import JsonDeserializer, JsonSerializer
from kafka_patterns.serialization.typed import structure_body
from kafka_patterns.synchronous import refuse_async, refuse_awaitable

__all__ = ["Serialization"]


class Serialization:
    """Which serializer and deserializer a pattern uses: its own, or else the common ones."""

    def __init__(self, serializer: Serializer | None, deserializer: Deserializer | None) -> None:
        self._serializer: Serializer = serializer or JsonSerializer()
        self._deserializer: Deserializer = deserializer or JsonDeserializer()
        self._serializers: dict[str, Serializer] = {}
        self._deserializers: dict[str, Deserializer] = {}

    def use(
        self,
        pattern: str,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
    ) -> None:
        """Give *pattern* a serializer or a deserializer of its own.

        :raises ConfigurationError: if an object lacks the method, or it is asynchronous.
        """
        if serializer is not None:
            if not isinstance(serializer, Serializer):
                raise ConfigurationError(f"{serializer!r} has no serialize() method")
            refuse_async(serializer.serialize, "serializer")
            self._serializers[pattern] = serializer
        if deserializer is not None:
            if not isinstance(deserializer, Deserializer):
                raise ConfigurationError(f"{deserializer!r} has no deserialize() method")
            refuse_async(deserializer.deserialize, "deserializer")
            self._deserializers[pattern] = deserializer

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

    def decode(self, record: Record, *, pattern: str) -> Any:
        """Read the payload of *record*.

        :raises PayloadError: if the deserializer fails, whatever it raises, or if the record could
            not be read at all.
        """
        if record.unreadable is not None:
            raise PayloadError(
                f"topic {record.topic!r}, partition {record.partition}, offset {record.offset} "
                f"cannot be read: {record.unreadable.reason}"
            )
        deserializer = self._deserializers.get(pattern, self._deserializer)
        try:
            return refuse_awaitable(deserializer.deserialize(record), "deserialize()")
        except PayloadError:
            raise
        except Exception as error:
            raise PayloadError(
                f"the deserializer failed on topic {record.topic!r}, partition "
                f"{record.partition}, offset {record.offset}: {type(error).__name__}: {error}"
            ) from error

    def read(self, record: Record, annotation: Any, *, pattern: str) -> Any:
        """Read the payload of *record* as *annotation* asks.

        :raises PayloadError: if it cannot be read, or is not valid for *annotation*.
        """
        return structure_body(record.value, self.decode(record, pattern=pattern), annotation)
