"""What requests notice of a rebalance, beside a control run."""

from __future__ import annotations

import time

from benchmarks.rebalance import compare
from benchmarks.service import percentile_99, serve
from tests.reliability.conftest import topic_of
from tests.reliability.table import CallerRow


def test_requests_go_on_while_instances_join(kafka, scale, add_caller_row):
    name = "rebalance latency"
    began = time.monotonic()
    with serve(kafka, topic_of(name), partitions=4, reply_partitions=4) as service:
        # A request that fails, or gets the answer to another one, raises.
        compared = compare(service, scale.rebalance_rounds, joins=4)

    sent = len(compared.rebalanced) + len(compared.control)
    control_ms = percentile_99(compared.control) * 1000
    add_caller_row(
        CallerRow(
            name,
            sent=sent,
            replied=sent,
            timed_out=0,
            refused=0,
            broken=0,
            p99_ms=percentile_99(compared.rebalanced) * 1000,
            seconds=time.monotonic() - began,
            fact=f"control run: {control_ms:.0f} ms; ratio {compared.ratio:.2f}",
        )
    )
    # Whether that is near enough is for the benchmark to say, on a machine that does nothing
    # else. No request may wait for a rebalance to end.
    assert max(compared.rebalanced) < 3.0
