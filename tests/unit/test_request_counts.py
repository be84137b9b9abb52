"""The books of requests: whatever ends in whatever order, the sums are right."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.client.counts import Outcome, RequestCounts

ENDS = st.sampled_from([None, *Outcome])
REQUESTS = st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.floats(0, 100), ENDS))


@given(REQUESTS)
def test_each_request_is_in_the_books_once(requests) -> None:
    counts = RequestCounts()

    for pattern, took, outcome in requests:
        ticket = counts.ticket(pattern, 1000.0)
        ticket.begin()
        if took is not None:
            ticket.reply_came(1000.0 + took)
            ticket.reply_came(2000.0)  # the second item of a stream
        if outcome is not None:
            ticket.end(outcome)

    books = counts.snapshot()
    assert set(books) == {pattern for pattern, _, _ in requests}
    for pattern, book in books.items():
        mine = [request for request in requests if request[0] == pattern]
        ends = [outcome for _, _, outcome in mine]
        times = [took for _, took, _ in mine if took is not None]
        assert book.sent == len(mine)
        assert book.pending == ends.count(None)
        assert [book.replied, book.failed, book.timed_out, book.cancelled] == [
            ends.count(outcome) for outcome in Outcome
        ]
        assert book.reply_times.count == len(times)
        assert math.isclose(book.reply_times.total, math.fsum(times), abs_tol=1e-6)
