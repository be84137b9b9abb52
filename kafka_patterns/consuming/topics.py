"""Which topics exist."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from kafka_patterns.errors import NotAuthorized
from kafka_patterns.rights import missing_right
from kafka_patterns.transport.base import Admin

__all__ = ["check_right", "find_topics"]

_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 0.05


def check_right(admin: Admin, topics: Collection[str], right: str) -> None:
    """Return if this user has *right* on those of *topics* that exist, or if nobody tells.

    :raises NotAuthorized: names the right and all topics for which it is missing.
    :raises TransportError: if no broker answers.
    """
    rights = admin.rights(topics, _ANSWER_SECONDS) if topics else {}
    missing = [topic for topic, held in rights.items() if held is not None and right not in held]
    if missing:
        unknown = all(not rights[topic] for topic in missing)
        raise NotAuthorized(missing_right(right, missing, is_unknown=unknown))


def find_topics(
    admin: Admin,
    topics: Collection[str],
    patience: float,
    wait: Callable[[float], object] = time.sleep,
) -> tuple[dict[str, Collection[int]], set[str]]:
    """Ask for *topics*, which makes a broker create them if it may.

    :param patience: seconds to wait for those that do not exist at first.
    :param wait: waits that many seconds, or less.
    :returns: the partitions of each at first, none if it did not exist, and those that still do
        not exist.
    :raises NotAuthorized: if this user may not know of one.
    :raises TransportError: if no broker answers.
    """
    deadline = time.monotonic() + patience
    at_first = {topic: admin.partitions(topic, _ANSWER_SECONDS) or () for topic in topics}
    missing = {topic for topic, partitions in at_first.items() if not partitions}
    while missing and time.monotonic() < deadline:
        wait(_RETRY_SECONDS)
        missing = {topic for topic in missing if not admin.partitions(topic, _ANSWER_SECONDS)}
    return at_first, missing
