"""What became of requests, per pattern. Any thread."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict

import attrs

from kafka_patterns.client.correlation_ids import Origin
from kafka_patterns.client.histogram import BOUNDS, Histogram, bucket_of
from kafka_patterns.consuming.brief_lock import BriefLock

__all__ = ["Outcome", "PatternCounts", "RequestCounts", "Ticket"]


class Outcome(enum.Enum):
    """How a request ended."""

    REPLIED = "replied"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


@attrs.frozen(kw_only=True)
class PatternCounts:
    """Requests of one pattern, and what came to its reply topic without a request that waits.

    :param sent: requests that were begun: the sum of the next five.
    :param pending: those that wait for a reply now.
    :param replied: those that ended with their reply.
    :param failed: those that ended with an error: the server's, ``SendFailed``,
        ``ClientClosed`` or ``TooManyUnreadReplies``.
    :param timed_out: those that ended with ``RequestTimeout``.
    :param cancelled: futures that were cancelled, and streams that were closed early.
    :param late: replies to requests of this client that had ended: too late, or twice.
    :param of_others: replies to other instances that share a partition with this one.
    :param unknown: records without a correlation id, or with one of a foreign form.
    :param reply_times: from the request to its first reply, also if that is an error.
    """

    sent: int = 0
    pending: int = 0
    replied: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    late: int = 0
    of_others: int = 0
    unknown: int = 0
    reply_times: Histogram = attrs.field(factory=Histogram)


class Ticket:
    """One request in the books."""

    __slots__ = ("_counts", "_pattern", "_replied", "_started")

    def __init__(self, counts: RequestCounts, pattern: str, now: float) -> None:
        self._counts = counts
        self._pattern = pattern
        self._started = now
        self._replied = False

    def begin(self) -> None:
        """The request waits from now on."""
        self._counts.begun(self._pattern)

    def reply_came(self, now: float) -> None:
        """A reply came at monotonic time *now*; the first one is measured."""
        if not self._replied:
            self._replied = True
            self._counts.measured(self._pattern, now - self._started)

    def end(self, outcome: Outcome) -> None:
        """The request waits no longer; to be called once."""
        self._counts.ended(self._pattern, outcome)


class _Book:
    """The counts of one pattern."""

    __slots__ = ("begun", "buckets", "ended", "strays", "total")

    def __init__(self) -> None:
        self.begun = 0
        self.ended = dict.fromkeys(Outcome, 0)
        self.strays: Counter[Origin] = Counter()
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def read(self) -> PatternCounts:
        """What it says."""
        return PatternCounts(
            sent=self.begun,
            pending=self.begun - sum(self.ended.values()),
            **{outcome.value: count for outcome, count in self.ended.items()},
            late=self.strays["late"],
            of_others=self.strays["of_others"],
            unknown=self.strays["unknown"],
            reply_times=Histogram(tuple(self.buckets), self.total),
        )


class RequestCounts:
    """The books of one client."""

    def __init__(self) -> None:
        self._lock = BriefLock()  # guards the books
        self._books: defaultdict[str, _Book] = defaultdict(_Book)

    def ticket(self, pattern: str, now: float) -> Ticket:
        """A request of *pattern* is made at monotonic time *now*."""
        return Ticket(self, pattern, now)

    def begun(self, pattern: str) -> None:
        """For :class:`Ticket`."""
        with self._lock:
            self._books[pattern].begun += 1

    def measured(self, pattern: str, seconds: float) -> None:
        """For :class:`Ticket`."""
        bucket = bucket_of(seconds)
        with self._lock:
            book = self._books[pattern]
            book.buckets[bucket] += 1
            book.total += seconds

    def ended(self, pattern: str, outcome: Outcome) -> None:
        """For :class:`Ticket`."""
        with self._lock:
            self._books[pattern].ended[outcome] += 1

    def strayed(self, pattern: str, origin: Origin) -> None:
        """A reply came to the reply topic of *pattern* that no request waits for."""
        with self._lock:
            self._books[pattern].strays[origin] += 1

    def snapshot(self) -> dict[str, PatternCounts]:
        """The books at this moment, per pattern."""
        with self._lock:
            return {pattern: book.read() for pattern, book in self._books.items()}
