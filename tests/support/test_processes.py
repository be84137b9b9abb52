from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.processes import EndedEarlyError, ManagedProcess, python_process
from tests.support.waiting import eventually

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"


def exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_line_is_found_with_its_groups():
    with python_process("-c", "print('noise'); print('hero 7 is here')") as process:
        assert process.wait_for_line(r"hero (\d+)")[1] == "7"
        assert process.wait() == 0
        assert process.lines == ["noise", "hero 7 is here"]
    assert process.lines == ["noise", "hero 7 is here"]


def test_missing_line_fails_with_the_output():
    with python_process("-c", SLEEP, name="sleeper") as process:
        process.wait_for_line("ready")

        with pytest.raises(AssertionError, match=r"(?s)sleeper .* 'never'.*last lines:\n +ready"):
            process.wait_for_line("never", timeout=0.1)


def test_process_that_ends_without_the_line_fails_at_once():
    started = time.monotonic()

    with (
        python_process("-c", "raise SystemExit('broken')") as process,
        pytest.raises(EndedEarlyError, match=r"(?s)ended without writing 'ready'.*broken"),
    ):
        process.wait_for_line("ready", timeout=60)

    assert time.monotonic() - started < 30


def test_process_that_runs_on_fails_the_wait():
    with (
        python_process("-c", SLEEP) as process,
        pytest.raises(AssertionError, match=r"still runs after 0\.1 s"),
    ):
        process.wait(timeout=0.1)


def test_close_kills_and_reaps_even_a_paused_process():
    process = python_process("-c", SLEEP)
    process.pause()

    process.close()
    process.close()

    assert not exists(process.pid)


def test_close_kills_what_the_process_started():
    starts_a_child = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "print('child', child.pid, flush=True)\n"
    )
    process = python_process("-c", starts_a_child)
    child = int(process.wait_for_line(r"child (\d+)")[1])
    process.wait()

    process.close()

    eventually(lambda: not exists(child), describe="the end of the grandchild")


def test_signals_reach_the_process():
    with python_process("-c", SLEEP) as process:
        process.wait_for_line("ready")

        process.terminate()

        assert process.wait() == -signal.SIGTERM


def test_processes_end_when_the_test_run_is_killed():
    starts_a_process = (
        "import signal\n"
        "from tests.support.processes import python_process\n"
        f"print('child', python_process('-c', {SLEEP!r}).pid, flush=True)\n"
        "signal.pause()\n"
    )
    with python_process("-c", starts_a_process) as run:
        child = int(run.wait_for_line(r"child (\d+)")[1])
        assert exists(child)

        run.kill()

        eventually(lambda: not exists(child), describe="the end of the child")


def test_environment_is_added_to_ours():
    with ManagedProcess(
        ["sh", "-c", 'echo "$HERO of $HOME"'], name="shell", environment={"HERO": "Kaido"}
    ) as process:
        process.wait_for_line(f"^Kaido of {os.environ['HOME']}$")
