"""The sentries of conftest.py catch what they are there for."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.processes import REPOSITORY, python_process

LEAKS_A_THREAD = """
import threading

stop = threading.Event()

def test_leaks():
    threading.Thread(target=stop.wait, name="kafka-patterns-forgotten", daemon=True).start()

def test_is_innocent():
    pass
"""

WARNS = """
import warnings

def test_warns():
    warnings.warn("this is old", DeprecationWarning)
"""

HANGS = """
import threading
import pytest

@pytest.mark.timeout(0.5)
def test_hangs():
    threading.Event().wait(60)
"""


def run(folder: Path, source: str, *arguments: str) -> tuple[int, str]:
    module = folder / "test_inner.py"
    module.write_text(source, encoding="utf-8")
    options: list[str | Path] = [
        "-c",
        REPOSITORY / "setup.cfg",
        "--rootdir",
        folder,
        "-p",
        "tests.conftest",
    ]
    with python_process("-m", "pytest", *options, *arguments, module) as process:
        return process.wait(), process.output


def test_leaked_thread_fails_the_test_that_leaked_it(tmp_path):
    code, output = run(tmp_path, LEAKS_A_THREAD, "-p", "no:randomly")

    assert code == 1
    assert "2 passed, 1 error" in output
    assert re.search(r"^ERROR .*test_inner\.py::test_leaks", output, re.MULTILINE)
    assert "thread 'kafka-patterns-forgotten'" in output


def test_warning_fails_the_test(tmp_path):
    code, output = run(tmp_path, WARNS)

    assert code == 1
    assert "DeprecationWarning: this is old" in output


def test_hanging_test_ends_the_run_with_the_stacks(tmp_path):
    code, output = run(tmp_path, HANGS)

    assert code == 1
    assert "Stack of MainThread" in output
    assert "in test_hangs" in output


def test_unknown_marker_is_refused(tmp_path):
    code, output = run(tmp_path, "import pytest\n\n@pytest.mark.heroic\ndef test_x(): pass\n")

    assert code != 0
    assert "'heroic' not found in `markers`" in output


def test_real_kafka_is_deselected_on_the_embedded_broker(tmp_path):
    source = "import pytest\n\n@pytest.mark.real_kafka\ndef test_x(): pass\n\ndef test_y(): pass\n"

    code, output = run(tmp_path, source)

    assert code == 0
    assert "1 passed, 1 deselected" in output


def test_missing_java_is_a_failure_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    code, output = run(tmp_path, "def test_x(): pass\n", "--broker", "kafka")

    assert code == 4
    assert "need the program 'java'" in output
    assert "install a Java 17 runtime" in output
