"""Whether a history keeps the promises: one module for each, all pure."""

from __future__ import annotations

from tests.chaos.checker.commits import check_commits
from tests.chaos.checker.duplicates import check_duplicates
from tests.chaos.checker.losses import check_losses
from tests.chaos.checker.order import check_order
from tests.chaos.checker.requests import check_requests
from tests.chaos.checker.resources import check_resources
from tests.chaos.checker.statuses import check_statuses
from tests.chaos.history import History

__all__ = ["check"]


def check(history: History) -> dict[str, list[str]]:
    """What breaks a promise, in words, under the name of the promise; empty if nothing does."""
    found = {
        "nothing is lost": check_losses(history),
        "duplicates are within the bound": check_duplicates(history),
        "the order of a key is kept": check_order(history),
        "committed offsets never go back, nor past the unfinished": check_commits(history),
        "every request ends once and rightly": check_requests(history),
        "memory and threads stay flat": check_resources(history),
        "connected means that work goes on": check_statuses(history),
    }
    return {promise: breaches for promise, breaches in found.items() if breaches}
