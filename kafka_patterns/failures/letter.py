"""A message that leaves its topic: for a dead letter topic, or for a later try. Pure."""

from __future__ import annotations

import attrs

from kafka_patterns.message import EncodedMessage

__all__ = ["Letter"]


@attrs.frozen
class Letter:
    """A given-up message on its way to another topic.

    :param forms: what is sent, in full; then, for a topic that takes less, with less about the
        failure.
    :param counter: what is counted once the broker has it.
    """

    topic: str
    forms: tuple[EncodedMessage, ...]
    counter: str
