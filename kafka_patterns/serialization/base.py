"""What a serializer and a deserializer are."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from kafka_patterns.message import Message, Record

__all__ = ["Deserializer", "Serializer"]


@runtime_checkable
class Serializer(Protocol):
    """Writes a payload as bytes. Called in the thread that sends; must be thread-safe."""

    def serialize(self, payload: Any, *, topic: str, pattern: str) -> Message:
        """Return a :class:`Message` whose value, key and header values are bytes or ``None``.

        :param payload: what the user sent or the handler returned; never changed.
        :param topic: where it goes; for a reply, the reply topic.
        :param pattern: the pattern it belongs to.
        :raises PayloadError: if the payload cannot be written.
        """
        ...


@runtime_checkable
class Deserializer(Protocol):
    """Reads a payload from a record. Called in a worker or in the caller's thread."""

    def deserialize(self, record: Record) -> Any:
        """Return the payload of *record*, given its raw bytes.

        :raises PayloadError: if the bytes cannot be read; any other exception is treated
            the same.
        """
        ...
