"""A client made before gunicorn forks its workers answers in each of them."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import PATIENCE, Peers
from tests.support.processes import ManagedProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

WORKERS = 8
BROWSERS = 16
REQUESTS_ON_KAFKA = 10_000
REQUESTS = 400

RunWeb = Callable[..., int]


@pytest.fixture
def run_web(tmp_path: Path) -> Any:
    """Start gunicorn with preloaded workers; returns its port."""
    started: list[ManagedProcess] = []

    def run(**arguments: Any) -> int:
        command: list[str | Path] = [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)),
            *("--threads", "4", "--bind", "127.0.0.1:0", "--worker-tmp-dir", tmp_path),
            # A busy machine may take its time between two requests of a browser.
            *("--keep-alive", "60", "--timeout", "120"),
            f"tests.integration.programs.web:make_application({json.dumps(arguments)!r})",
        ]
        gunicorn = ManagedProcess(command, name="gunicorn")
        started.append(gunicorn)
        eventually(
            lambda: sum("Booting worker" in line for line in gunicorn.lines) >= WORKERS,
            2 * PATIENCE,
            describe=gunicorn.report,
        )
        return int(gunicorn.wait_for_line(r"Listening at: http://127\.0\.0\.1:(\d+)")[1])

    yield run
    for process in started:
        process.terminate()
        try:
            assert process.wait(2 * PATIENCE) == 0, process.report()
        finally:
            process.close()


def browse(port: int, numbers: range) -> set[int]:
    """Ask for the page of each number on one connection; returns the workers that answered."""
    workers = set()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * PATIENCE)
    for number in numbers:
        connection.request("GET", f"/page/{number}")
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        page = json.loads(body)
        assert page["path"] == f"/page/{number}"
        workers.add(page["worker"])
    connection.close()
    return workers


@pytest.mark.parametrize("connect", [True, False], ids=["connected before", "made before"])
def test_preloaded_workers_share_one_reply_partition(peers: Peers, run_web: RunWeb, connect):
    pattern = peers.topic(partitions=4, replies=1)
    server = peers.server(run={"workers": 32})

    @server.message_pattern(pattern, ordering="unordered")
    def echo(payload: dict[str, str]) -> dict[str, str]:
        return payload

    total = REQUESTS_ON_KAFKA if peers.broker.is_real and connect else REQUESTS
    with server, ThreadPoolExecutor(BROWSERS) as browsers:
        options = peers.options(reply={"mode": "direct"})
        port = run_web(options=options, pattern=pattern, connect=connect)
        shares = [range(first, total, BROWSERS) for first in range(BROWSERS)]
        workers = set().union(*browsers.map(browse, [port] * BROWSERS, shares))

    assert len(workers) > 1
