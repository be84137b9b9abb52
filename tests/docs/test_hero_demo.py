"""The demo shows everything, ends by itself, and leaves nothing running, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.processes import REPOSITORY, ManagedProcess
from tests.support.waiting import eventually

START_SECONDS = 90.0
MODULE = "examples.hero"


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def parts(demo: ManagedProcess) -> list[int]:
    """The ids of the processes that the demo started."""
    return [int(found) for found in re.findall(r"\| process (\d+)", demo.output)]


@pytest.fixture
def demo(start_python: Callable[..., ManagedProcess]) -> Iterator[ManagedProcess]:
    process = start_python("-m", MODULE, name="demo")
    yield process
    for process_id in filter(is_running, parts(process)):
        os.kill(process_id, signal.SIGKILL)


def wait_for_the_client(demo: ManagedProcess) -> None:
    demo.wait_for_line(r"^client \| status +connected", START_SECONDS)


def assert_nothing_is_left(demo: ManagedProcess) -> None:
    assert len(parts(demo)) == 3
    eventually(lambda: not any(map(is_running, parts(demo))), describe="the end of all parts")


def test_demo_shows_everything_and_ends_by_itself(demo: ManagedProcess):
    assert demo.wait(120) == 0

    for expected in (
        r"^broker \| process \d+ at 127\.0\.0\.1:\d+$",
        r"^server \| status +connected$",
        r"^client \| hero\.kill\.dragon +KillDragon\(id=1\) +Item\(id=1, .*\) +\d+\.\d ms$",
        r"^client \| hero\.count\.coins +100 at once +100 right answers +\d+\.\d ms$",
        r"^client \| hero\.kill\.dragon +KillDragon\(id=13\) +RpcException: IMMORTAL +\d+\.\d ms$",
        r"^client \| hero\.find\.dragon +KillDragon\(id=7\) +RequestTimeout .* \d+\.\d ms$",
        r"^client \| hero\.story +Kaido +Kaido rode out +\d+\.\d ms$",
        r"^client \| +Kaido came home +\d+\.\d ms$",
        r"^client \| hero\.entered +emit +partition \d, offset 0 +\d+\.\d ms$",
        r"^client \| hero\.entered +emit_future +partition \d, offset 0 +\d+\.\d ms$",
        r"^client \| hero\.entered +emit_batch +3 events taken +\d+\.\d ms$",
        r"^server \| entered +Momo$",
        r"^client \| status +stopped$",
        r"^server \| status +stopped$",
        r"^Done in .* Nothing is left running\.$",
    ):
        demo.wait_for_line(expected, 0)
    assert "\033" not in demo.output
    assert_nothing_is_left(demo)


def test_demo_lines_are_aligned(demo: ManagedProcess):
    assert demo.wait(120) == 0

    timed = [line for line in demo.lines if line.endswith(" ms")]
    assert len(timed) == 12
    assert {len(line) for line in timed} == {len(timed[0])}
    assert all(line.isascii() for line in demo.lines)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "terminated", "terminal closed"],
)
def test_interrupted_demo_leaves_nothing_running(
    demo: ManagedProcess, number: signal.Signals, code: int
):
    wait_for_the_client(demo)

    os.kill(demo.pid, number)

    assert demo.wait(120) == code
    assert_nothing_is_left(demo)


def test_demo_that_loses_its_client_fails_and_leaves_nothing_running(demo: ManagedProcess):
    wait_for_the_client(demo)
    *_others, client = parts(demo)

    os.kill(client, signal.SIGKILL)

    assert demo.wait(120) == 1
    demo.wait_for_line("^The demo failed: the client ended with exit code -9$", 0)
    assert_nothing_is_left(demo)


def test_demo_that_loses_its_broker_fails_and_leaves_nothing_running(demo: ManagedProcess):
    demo.wait_for_line(r"^server \| process", START_SECONDS)
    broker, *_others = parts(demo)

    os.kill(broker, signal.SIGKILL)

    assert demo.wait(120) == 1
    assert re.search("^The demo failed: ", demo.output, re.MULTILINE)
    eventually(lambda: not any(map(is_running, parts(demo))))


def test_demo_whose_output_is_cut_off_leaves_nothing_running():
    with subprocess.Popen(
        [sys.executable, "-u", "-m", MODULE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        lines = [demo.stdout.readline() for _ in range(5)]
        demo.stdout.close()

        assert demo.wait(120) == 1
        assert "Traceback" not in demo.stderr.read()

    found = re.findall(r"\| process (\d+)", "".join(lines))
    assert len(found) == 2
    eventually(lambda: not any(is_running(int(process_id)) for process_id in found))


def test_client_without_a_broker_says_so(start_python: Callable[..., ManagedProcess]):
    client = start_python("-m", f"{MODULE}.client", "127.0.0.1:1", name="client")

    assert client.wait(120) == 1
    client.wait_for_line("^the client cannot go on: no broker answered within 10 s at", 0)
