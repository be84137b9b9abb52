"""Replies that no server should send."""

from __future__ import annotations

from tests.reliability.liar import GARBAGE_ANSWER, LATE, Liar
from tests.support.waiting import eventually

TIMEOUT = 5.0


def test_callers_get_their_own_answers_from_a_server_that_lies(make_callers, kafka, scale):
    callers = make_callers("replies twice, late, wrong, garbage", kafka, reply_partitions=1)
    with Liar(kafka.bootstrap_servers, callers.pattern, timeout=TIMEOUT) as liar:
        # All share one partition: each sees the answers, and the lies, that are for the others.
        clients = [
            callers.start_client(timeout=TIMEOUT, reply={"mode": "direct"}) for _ in range(2)
        ]
        eventually(lambda: liar.answered[LATE] >= scale.lies, 200.0, describe="enough lies")
        for client in clients:
            callers.wait_for_replies(client, threads=2)
        for client in clients:
            callers.leave(client)

    total = callers.total
    callers.conclude(fact=f"{liar.answered.total():,} answers, few of them honest", may_fail=True)
    assert total.timed_out == liar.answered[LATE]
    assert total.refused == {"ReplyPayloadError": liar.answered[GARBAGE_ANSWER]}
    assert total.replied == liar.answered.total() - total.timed_out - total.refused.total()
