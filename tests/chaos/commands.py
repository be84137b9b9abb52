"""What the nemesis tells a process while it runs, in a file that the process looks into."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["command", "follow_commands"]

_LOOK_SECONDS = 0.1


def command(folder: Path, name: str, *arguments: Any) -> None:
    """Tell the process *name* something."""
    with _path(folder, name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(arguments) + "\n")


def follow_commands(folder: Path, name: str, obey: Callable[..., None]) -> None:
    """Call *obey*, in a thread, with what this process is told from now on."""
    path = _path(folder, name)
    path.touch()
    seen = path.stat().st_size

    def run() -> None:
        with path.open(encoding="utf-8") as file:
            file.seek(seen)
            while True:
                line = file.readline()
                if line.endswith("\n"):
                    obey(*json.loads(line))
                else:
                    file.seek(file.tell() - len(line))
                    threading.Event().wait(_LOOK_SECONDS)

    # It ends with the process: nothing that it does is worth waiting for.
    threading.Thread(target=run, name="commands", daemon=True).start()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.commands"
