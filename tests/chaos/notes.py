"""What processes of a run note beside their journals: one line of JSON each, written at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["NotesWriter", "read_notes"]


class NotesWriter:
    """Writes the notes of this process.

    :param folder: where those of all processes lie.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}.notes"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, kind: str, *facts: Any) -> None:
        """Note *facts*, with the id of the process and the moment of the monotonic clock."""
        line = [kind, *facts, os.getpid(), time.monotonic()]
        os.write(self._file, json.dumps(line).encode() + b"\n")


def read_notes(folder: Path, kind: str) -> Iterator[list[Any]]:
    """The notes of one kind of all processes, in the order of their time."""
    lines = [
        json.loads(line)
        for path in folder.glob("*.notes")
        for line in path.read_bytes().rpartition(b"\n")[0].splitlines()
    ]
    return (facts for name, *facts in sorted(lines, key=lambda line: line[-1]) if name == kind)
