"""What the pages refer to exists, and their code runs."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import kafka_patterns
from kafka_patterns.testing import EmbeddedBroker
from tests.docs.pages import PAGES, Page, read_page
from tests.support.processes import REPOSITORY, ManagedProcess

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_DOTTED_NAME = re.compile(r"\bkafka_patterns(?:\.\w+)+")
_PUBLIC_IMPORT = re.compile(r"from kafka_patterns import (\([^)]*\)|[^\n]*)")
_PRINTS = "\nIt prints:\n"
_WITHOUT_LOGS = "import logging\nlogging.disable()\n"
_PROGRAM = "docs/from-nestjs.md"
# A class of the reader's own, which that page takes for granted.
_READERS_OWN = {
    "docs/reference/payloads.md": """
class Money(str):
    parse = classmethod(lambda cls, text: cls(text))
""",
}
_CLIENT_HEADING = "\n## A client\n"


def anchors(page: Page) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = (match[1].replace("`", "").lower() for match in _HEADING.finditer(page.prose))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def missing(page: Page, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.path.parent / path).resolve() if path else page.path
    if not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(read_page(str(file)))


@pytest.mark.parametrize("path", PAGES)
def test_relative_links_lead_somewhere(path: str):
    page = read_page(path)
    targets = [match["target"] for match in _LINK.finditer(page.prose)]

    assert [t for t in targets if "://" not in t and missing(page, t)] == []


def test_each_page_is_linked_from_the_index_or_the_readme():
    linked = {
        (page.path.parent / match["target"].partition("#")[0]).resolve()
        for page in map(read_page, ["README.md", "docs/index.md"])
        for match in _LINK.finditer(page.prose)
    }

    pages = {REPOSITORY / path for path in PAGES if path.startswith("docs/")}
    assert pages - {REPOSITORY / "docs/index.md"} <= linked


def resolve(name: str) -> object:
    """The module or object of a dotted name.

    :raises AttributeError: if there is none.
    """
    parts = name.split(".")
    found: object = importlib.import_module(parts[0])
    for index, part in enumerate(parts[1:], start=2):
        try:
            found = importlib.import_module(".".join(parts[:index]))
        except ModuleNotFoundError:
            found = getattr(found, part)
    return found


@pytest.mark.parametrize("path", PAGES)
def test_names_of_the_package_exist(path: str):
    for name in _DOTTED_NAME.findall(read_page(path).text):
        if not name.endswith(".md"):
            resolve(name)


@pytest.mark.parametrize("path", PAGES)
def test_pages_import_public_names_only(path: str):
    for match in _PUBLIC_IMPORT.finditer(read_page(path).text):
        names = set(re.findall(r"\w+", match[1]))

        assert names <= set(kafka_patterns.__all__)


def printing_pages() -> list[str]:
    """The pages that end in what their code prints."""
    return [path for path in PAGES if _PRINTS in read_page(path).prose]


@pytest.mark.parametrize("path", printing_pages())
def test_code_of_a_page_prints_what_it_says(path: str, tmp_path: Path):
    page = read_page(path)
    program = "".join([_WITHOUT_LOGS, *(block.text for block in page.blocks("python"))])

    with EmbeddedBroker() as broker:
        lines = run(program.replace("localhost:9092", broker.bootstrap_servers[0]), tmp_path)

    assert lines == page.later_output


def constructing_pages() -> list[str]:
    """The pages whose code needs no broker: it is run block by block as one program."""
    others = {"README.md", "docs/quickstart.md", _PROGRAM, *printing_pages()}
    return [path for path in PAGES if path not in others and read_page(path).blocks("python")]


@pytest.mark.parametrize("path", constructing_pages())
def test_code_of_a_page_runs(path: str, tmp_path: Path):
    blocks = [block.text for block in read_page(path).blocks("python")]

    run("".join([_READERS_OWN.get(path, ""), *blocks]), tmp_path)


def test_program_of_the_page_for_nestjs_users_runs(tmp_path: Path):
    page = read_page(_PROGRAM)
    before, _, after = page.text.partition(_CLIENT_HEADING)
    serving, calling = (
        "".join(block.text for block in Page(page.path, part).blocks("python"))
        for part in (before, after)
    )

    with EmbeddedBroker() as broker:
        program = f"{serving}\nserver.start()\n{calling}\nassert server.stop()\n"
        run(program.replace("localhost:9092", broker.bootstrap_servers[0]), tmp_path)


def run(program: str, folder: Path) -> list[str]:
    """Run *program*; returns the lines it printed."""
    (folder / "program.py").write_text(program, encoding="utf-8")
    with ManagedProcess(
        [sys.executable, "-W", "error", "program.py"],
        name="program",
        directory=folder,
        environment={"PYTHONPATH": str(REPOSITORY)},
    ) as process:
        code = process.wait(120)
        assert code == 0, process.report()
        return process.lines
