"""When the sending thread waits for company before it makes a request."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["linger"]

_PAUSE_SECONDS = 0.0001
_MOST_PAUSES = 5
_ENOUGH_SENDERS = 8


def linger(senders: set[int], *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Wait while more threads send, in a few pauses of a tenth of a millisecond.

    Threads that send at the same time wake the sending thread with the first of their records.
    Without a pause that one goes out alone and the others follow in requests of their own, each
    of which the brokers, the readers and this process pay for as for a full one. A thread that
    sends alone never waits, however much it sends; nor do so many that a request is worth while,
    for if all of them went together, this process would have nothing to do until their answers.

    :param senders: the threads of which there are records to be sent; others add to it meanwhile.
    """
    for _ in range(_MOST_PAUSES):
        before = len(senders)
        if 1 < before < _ENOUGH_SENDERS:
            sleep(_PAUSE_SECONDS)
        if len(senders) == before:
            return
