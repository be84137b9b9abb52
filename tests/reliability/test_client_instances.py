"""Instances of a client that come, go, and are killed."""

from __future__ import annotations

import time


def test_no_request_is_lost_while_instances_join_and_leave(make_callers, kafka, scale):
    # One partition for each steady instance, and two more, since a guest may overlap the next.
    callers = make_callers(
        f"{scale.caller_joins} joins and leaves of clients",
        kafka,
        reply_partitions=scale.callers + 2,
    )
    callers.start_server()
    threads = scale.caller_threads
    steady = [callers.start_client(threads=threads, pause=0.2) for _ in range(scale.callers)]

    for _ in range(scale.caller_joins):
        guest = callers.start_client(threads=2)
        callers.wait_for_replies(guest)
        callers.leave(guest)
    for client in steady:
        callers.wait_for_replies(client, threads)
    tallies = [callers.leave(client) for client in steady]

    callers.conclude(fact=f"{len(steady)} steady instances, {threads} threads each")
    # A live instance keeps its reply partition across all joins and leaves.
    assert [len(tally.partitions) for tally in tallies] == [1] * len(steady)


def test_killed_client_comes_back_under_the_same_group(make_callers, kafka, scale):
    callers = make_callers("client killed and restarted", kafka)
    callers.start_server()
    steady = callers.start_client()
    longest = 0.0

    for _ in range(scale.caller_kills):
        victim = callers.start_client(threads=20, pause=0.0, longest_ms=200)
        callers.wait_for_replies(victim, threads=10)
        victim.kill()
        began = time.monotonic()
        restarted = callers.start_client(threads=20)
        callers.wait_for_replies(restarted)
        longest = max(longest, time.monotonic() - began)
        callers.wait_for_replies(steady)
        callers.leave(restarted)
    callers.leave(steady)

    callers.conclude(fact=f"{scale.caller_kills} kills; answered again within {longest:.1f} s")
