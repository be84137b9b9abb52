"""A reader who does what the README and the quickstart say sees what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import FollowedPage, read_page

BROKER = "python -m kafka_patterns.testing.broker --port 9092"
SERVER = "python server.py"


def is_run_here(command: str) -> bool:
    return command.startswith("python ") and "venv" not in command


@pytest.mark.parametrize("path", ["README.md", "docs/quickstart.md"])
def test_page_shows_what_its_reader_sees(path: str, tmp_path: Path):
    page = read_page(path)
    *server_lines, end = [*page.outputs[SERVER], *page.later_output]
    clients = [c for c in page.outputs if is_run_here(c) and c not in (BROKER, SERVER)]
    assert clients

    with FollowedPage(page, tmp_path) as followed:
        broker = followed.start_broker(BROKER)
        followed.wait_for_output(broker, page.outputs[BROKER])
        server = followed.start(SERVER)
        for command in clients:
            followed.run(command)
        if end != "stopped":
            server_lines.append(end)
        followed.wait_for_output(server, server_lines)

        server.interrupt()
        assert server.wait() == 0
        followed.wait_for_output(server, [*server_lines, "stopped"])
        broker.interrupt()
        assert broker.wait() == 0
