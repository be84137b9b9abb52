"""Every request ends exactly once, in time, with what is its own."""

from __future__ import annotations

from collections import defaultdict

from tests.chaos.history import Asked, Ended, History

__all__ = ["REFUSED", "REPLIED", "TIMED_OUT", "check_requests"]

REPLIED = "replied"
TIMED_OUT = "timed out"
REFUSED = "refused"

_GRACE_SECONDS = 5.0
"""By so much a request may end after its timeout on a busy machine."""


def check_requests(history: History) -> list[str]:
    """What was wrong with requests.

    A process that ended takes with it what it asked, and after the last fault all is answered.
    """
    ends: defaultdict[str, list[Ended]] = defaultdict(list)
    for ended in history.ended:
        ends[ended.id].append(ended)
    died_at = {died.pid: died.at for died in history.deaths}
    found = []
    for asked in history.asked:
        found += _check(asked, ends.pop(asked.id, []), died_at.get(asked.pid), history)
    found += [f"{name} ended and was never asked" for name in ends]
    return found


def _check(asked: Asked, ends: list[Ended], died_at: float | None, history: History) -> list[str]:
    if not ends:
        due = asked.at + asked.timeout + _GRACE_SECONDS
        return [] if died_at is not None and died_at <= due else [f"{asked} never ended"]
    found = [f"{asked} ended {len(ends)} times: {ends}"] if len(ends) > 1 else []
    ended = ends[0]
    took = ended.at - asked.at
    if took > asked.timeout + _GRACE_SECONDS:
        found.append(f"{asked.id} took {took:.1f} s instead of {asked.timeout:g}")
    if ended.outcome not in {REPLIED, TIMED_OUT, REFUSED}:
        found.append(f"{asked.id} ended as none may: {ended.outcome}")
    # Of a stream that failed in the middle, the beginning came.
    expected = list(range(asked.items if ended.outcome == REPLIED else len(ended.replies)))
    if ended.replies != expected or len(ended.replies) > asked.items:
        found.append(f"{asked.id} got {ended.replies} of {asked.items} replies")
    if ended.outcome != REPLIED and asked.at >= history.calm_since:
        found.append(f"{asked.id} {ended.outcome} though no fault was left")
    return found
