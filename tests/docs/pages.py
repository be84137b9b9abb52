"""Does what a page of the documentation says, and compares what comes out.

A page is written by a few rules, so that a reader can follow it and a test as well:

- a ``python`` block whose first line is ``# name.py`` is a file of that name;
- a ``console`` block holds commands behind ``$`` and, below each, all it writes; a server goes
  on writing in the ``text`` blocks that follow;
- the broker's address is ``localhost:9092``. The port is the only thing that is replaced.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.support.processes import REPOSITORY, ManagedProcess
from tests.support.waiting import eventually

__all__ = ["PAGES", "Block", "FollowedPage", "Page", "read_page"]

PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
    ]
)

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\w+\.py)\n")
_PORT = "9092"
_START_SECONDS = 90.0


@attrs.frozen
class Block:
    """A fenced block: its language, its text, and the number of its first line."""

    language: str
    text: str
    line: int


@attrs.frozen
class Page:
    """A Markdown file."""

    path: Path
    text: str

    def blocks(self, language: str | None = None) -> list[Block]:
        """The fenced blocks, of one language if it is given."""
        found = [
            Block(match["language"], match["text"], self.text[: match.start()].count("\n") + 2)
            for match in _FENCE.finditer(self.text)
        ]
        return [block for block in found if language in (None, block.language)]

    @property
    def prose(self) -> str:
        """The text without the fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def files(self) -> dict[str, str]:
        """The files that the page lets its reader save, by name."""
        named = ((_FILE_NAME.match(block.text), block) for block in self.blocks("python"))
        return {match[1]: block.text for match, block in named if match is not None}

    @property
    def outputs(self) -> dict[str, list[str]]:
        """The commands that the page lets its reader type, each with the lines it writes."""
        outputs: dict[str, list[str]] = {}
        for block in self.blocks("console"):
            lines: list[str] = []
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    lines = outputs[line[2:]] = []
                else:
                    lines.append(line)
        return outputs

    @property
    def later_output(self) -> list[str]:
        """The lines of the ``text`` blocks."""
        return [line for block in self.blocks("text") for line in block.text.splitlines()]


def read_page(path: str) -> Page:
    """Read the page at *path*, relative to the repository."""
    return Page(REPOSITORY / path, (REPOSITORY / path).read_text(encoding="utf-8"))


class FollowedPage:
    """A page and a folder in which it is followed.

    :param folder: where its files are written and its commands run.
    """

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self._folder = folder
        self._port = _PORT
        self._processes: list[ManagedProcess] = []

    def start_broker(self, command: str) -> ManagedProcess:
        """Type the command of the broker, which finds a free port here; write the files then."""
        broker = self._start(command.replace(_PORT, "0"))
        self._port = broker.wait_for_line(r":(\d+)$", _START_SECONDS)[1]
        for name, text in self.page.files.items():
            (self._folder / name).write_text(self._with_port(text), encoding="utf-8")
        return broker

    def start(self, command: str) -> ManagedProcess:
        """Type *command* and wait until it has written what the page shows below it."""
        process = self._start(command)
        self.wait_for_output(process, self.page.outputs[command])
        return process

    def run(self, command: str) -> None:
        """Type *command*, wait until it ends, and compare all it wrote with the page."""
        process = self._start(command)
        code = process.wait(_START_SECONDS)
        assert (process.lines, code) == (self._lines(self.page.outputs[command]), 0)

    def wait_for_output(self, process: ManagedProcess, lines: list[str]) -> None:
        """Wait until *process* has written these lines, and no others."""
        expected = self._lines(lines)

        def is_written() -> bool:
            assert process.lines[: len(expected)] == expected[: len(process.lines)]
            return len(process.lines) >= len(expected)

        eventually(is_written, _START_SECONDS, describe=process.report)
        assert process.lines == expected

    def close(self) -> None:
        """Kill what still runs."""
        for process in reversed(self._processes):
            print(process.report())
            process.close()

    def _start(self, command: str) -> ManagedProcess:
        program, *arguments = shlex.split(command)
        assert program == "python", f"only python is run by the tests, not {command!r}"
        process = ManagedProcess(
            [sys.executable, "-u", *arguments],
            name=command,
            directory=self._folder,
            environment={"PYTHONPATH": str(REPOSITORY)},
        )
        self._processes.append(process)
        return process

    def _lines(self, lines: list[str]) -> list[str]:
        return [self._with_port(line) for line in lines]

    def _with_port(self, text: str) -> str:
        return text.replace(_PORT, self._port)

    def __enter__(self) -> FollowedPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def walk_pages() -> Iterator[Page]:
    """All pages of the documentation."""
    return map(read_page, PAGES)
